"""Keeps the directory equal to the object stores: one thread, changes that arrive close together become one update."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from maas_api.kube.objects import Changed, Feed, Object, ObjectStore
from maas_api.subscriptions.directory import Directory

log = logging.getLogger(__name__)

_FIRST_LOOK_SECONDS = 0.005


class Follower:
    """Follows the stores of MaaSSubscriptions, MaaSAuthPolicies and (for what they say about models) MaaSModelRefs.

    Each kind may have several stores, such as a folder of manifests and a cluster. ``feeds`` fill them: nothing is
    decided before every one of them has been read once. ``exists`` says whether there is such a kind as a
    MaaSSubscription at all; where any is known, there is. ``interval``: seconds between looks at the feeds' states (a
    kind installed or removed makes no event); changed objects are taken in after ``coalesce`` seconds.
    """

    def __init__(
        self,
        directory: Directory,
        *,
        subscriptions: Sequence[ObjectStore],
        policies: Sequence[ObjectStore],
        models: Sequence[ObjectStore] = (),
        feeds: Sequence[Feed],
        exists: Callable[[], bool],
        interval: float = 0.5,
        coalesce: float = 0.02,
    ) -> None:
        self._directory = directory
        self._subscriptions = tuple(subscriptions)
        self._policies = tuple(policies)
        self._models = tuple(models)
        self._feeds = tuple(feeds)
        self._exists = exists
        self._interval = interval
        self._coalesce = coalesce
        self._changed = threading.Event()
        self._changed.set()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        for store in (*self._subscriptions, *self._policies, *self._models):
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
        if not all(status.synced for feed in self._feeds for status in feed.status()):
            return
        if not self._exists() and not any(len(store) for store in self._subscriptions):
            if self._directory.state is not None or not self._directory.known:
                self._directory.absent()
                self._changed.set()  # should the kind come back, its objects are news
            return
        if not self._changed.is_set() and self._directory.state is not None:
            return
        self._changed.clear()  # before reading: what changes meanwhile is taken in next time
        self._directory.update(_objects(self._subscriptions), _objects(self._policies), _objects(self._models))

    def _mark(self, _keys: Changed) -> None:
        self._changed.set()

    def _run(self) -> None:
        look = _FIRST_LOOK_SECONDS  # at a start the feeds are a moment away, and the service is not ready without them
        while not self._stop.is_set():
            waiting = self._directory.state is None  # then only the feeds' states matter, and they make no event
            if waiting:
                self._stop.wait(look)
                look = min(look * 1.5, self._interval)
            elif self._changed.wait(self._interval):
                self._stop.wait(self._coalesce)
            try:
                self.refresh()
            except Exception:  # the thread must outlive a bug in one update; the last state stays
                log.exception("reading the subscriptions failed, the last known ones stay")


def _objects(stores: Sequence[ObjectStore]) -> list[Object]:
    return [obj for store in stores for obj in store.snapshot().values()]
