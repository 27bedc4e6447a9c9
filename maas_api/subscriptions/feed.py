"""Keeps the directory equal to the object stores: one thread, changes that arrive close together become one update."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from maas_api.kube.objects import Changed, Feed, ObjectStore
from maas_api.subscriptions.directory import Directory

log = logging.getLogger(__name__)


class SubscriptionFeed:
    """Follows the stores of MaaSSubscriptions, MaaSAuthPolicies and (for what they say about models) MaaSModelRefs.

    ``feed`` fills the store of subscriptions and says whether the kind exists; ``others`` fill the other stores.
    ``empty_is_absent``: no subscription counts as no such kind, as in a folder of manifests that mentions none.
    Nothing is decided before every feed has been read once. ``interval``: seconds between looks at the feeds' states
    (a kind installed or removed); changed objects are taken in after ``coalesce`` seconds.
    """

    def __init__(
        self,
        directory: Directory,
        *,
        subscriptions: ObjectStore,
        policies: ObjectStore,
        models: ObjectStore | None,
        feed: Feed,
        others: Sequence[Feed] = (),
        empty_is_absent: bool = False,
        interval: float = 0.5,
        coalesce: float = 0.02,
    ) -> None:
        self._directory = directory
        self._subscriptions = subscriptions
        self._policies = policies
        self._models = models
        self._feed = feed
        self._others = tuple(others)
        self._empty_is_absent = empty_is_absent
        self._interval = interval
        self._coalesce = coalesce
        self._changed = threading.Event()
        self._changed.set()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        for store in (subscriptions, policies, models):
            if store is not None:
                store.subscribe(self._mark)

    def start(self) -> None:
        """Take in what is known, then follow."""
        self.refresh()
        self._thread = threading.Thread(target=self._run, name="subscriptions", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop following."""
        self._stop.set()
        self._changed.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def refresh(self) -> None:
        """Make the directory equal to the stores, if anything changed."""
        statuses = [status for feed in (self._feed, *self._others) for status in feed.status()]
        if not all(status.synced for status in statuses):
            return
        if self._absent():
            if self._directory.view is not None or not self._directory.known:
                self._directory.absent()
                self._changed.set()  # the objects that come with the kind are news
            return
        if not self._changed.is_set() and self._directory.view is not None:
            return
        self._changed.clear()  # before reading: what changes meanwhile is taken in next time
        self._directory.update(
            self._subscriptions.snapshot().values(),
            self._policies.snapshot().values(),
            self._models.snapshot().values() if self._models is not None else (),
        )

    def _absent(self) -> bool:
        if self._empty_is_absent and not len(self._subscriptions):
            return True
        return any(status.state == "absent" for status in self._feed.status())

    def _mark(self, _keys: Changed) -> None:
        self._changed.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            waiting = self._directory.view is None  # then only the feeds' states matter, and they make no event
            if waiting:
                self._stop.wait(self._interval)
            elif self._changed.wait(self._interval):
                self._stop.wait(self._coalesce)
            try:
                self.refresh()
            except Exception:  # the thread must outlive a bug in one update; the last state stays
                log.exception("reading the subscriptions failed, the last known ones stay")
