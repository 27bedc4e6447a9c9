"""The catalog: what the stores hold, mapped, merged, encoded once, and published as an immutable snapshot.

Stores announce changed keys; one thread maps those objects again (and those whose HTTPRoute changed), and swaps
the published snapshot. Changes that arrive close together become one snapshot. Readers take the reference and never
wait. An object that cannot be mapped is reported and left out; a registry document that does not parse keeps the
entries of the last good one (:mod:`.lastgood`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from maas_api.access.decision import PUBLIC
from maas_api.kube.objects import (
    CONFIG_MAP,
    HTTP_ROUTE,
    INFERENCE_SERVICE,
    LLM_INFERENCE_SERVICE,
    MAAS_MODEL_REF,
    Feed,
    FeedStatus,
    Key,
    Kind,
    Object,
    ObjectStore,
)
from maas_api.models.lastgood import LastGood, Outdated
from maas_api.models.model import Mapped, Problem
from maas_api.models.shelf import Place, Shelf
from maas_api.models.snapshot import EMPTY, Snapshot
from maas_api.models.sources import inferenceservice, kserve, maasmodelref, registry
from maas_api.models.sources.httproutes import RouteIndex, RouteKey
from maas_api.models.sources.kserve import Gateway, RouteNeed

log = logging.getLogger(__name__)

PAUSE_FACTOR = 4.0
SHORTEST_PAUSE, LONGEST_PAUSE = 0.015, 0.025
"""Seconds from one build to the next at the least. A first change after a quiet time does not wait; in a stream of
changes several become one build. The longest bounds how long a change may wait on a busy machine."""


FAILURE_PAUSE = 1.0
"""Seconds until a build that failed is tried again."""


class CatalogObserver(Protocol):
    """What a catalog reports, for metrics."""

    def built(self, seconds: float, models: int, problems: int) -> None:
        """A snapshot was published: how long mapping and encoding took, entries listed, problems found."""


class _Silent:
    def built(self, seconds: float, models: int, problems: int) -> None:
        """Nothing to tell anyone."""


class Catalog:
    """Publishes a :class:`Snapshot` of what the stores hold.

    ``gateway`` decides which LLMInferenceServices belong. ``registry`` is the (namespace, name) of the registry
    ConfigMap. ``feeds`` fill the stores and say how fresh they are; ``filled_by`` says which feed a store has.
    ``last_good`` remembers the registry's documents. ``routed``: the providers that the gateway routes, empty for all
    of them. After a build the next one waits for ``PAUSE_FACTOR`` times as long as it took, so that a stream of changes
    costs a bounded share of the processor.
    """

    def __init__(
        self,
        *,
        gateway: Gateway,
        registry: Key,
        stores: Sequence[ObjectStore],
        feeds: Sequence[Feed] = (),
        filled_by: Callable[[ObjectStore], Feed | None] = lambda store: None,
        last_good: LastGood | None = None,
        routed: frozenset[str] = frozenset(),
        observer: CatalogObserver | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gateway = gateway
        self._registry = registry
        self._stores = tuple(stores)
        self._feeds = tuple(feeds)
        self._filled_by = filled_by
        self._last_good = last_good or LastGood()
        self._routed = routed
        self._last_good.follow(lambda place: self._changed(place.store, frozenset((place.key,))))
        self._observer = observer or _Silent()
        self._clock = clock
        self._snapshot = EMPTY
        self._listeners: list[Callable[[Snapshot], None]] = []
        self._complete = False
        # Under _wake: what changed and is not yet taken.
        self._wake = threading.Condition()
        self._dirty: set[Place] = set()
        self._building = False
        self._stopping = False
        self._thread: threading.Thread | None = None
        # Under _building_lock: the mapped state.
        self._building_lock = threading.Lock()
        self._routes = RouteIndex()
        self._needed_by: dict[RouteNeed, set[Place]] = {}
        self._needs: dict[Place, tuple[RouteNeed, ...]] = {}
        self._shelf = Shelf()
        self._outdated: dict[Place, Outdated] = {}  # replaced, never changed: read without a lock
        for number, store in enumerate(self._stores):
            store.subscribe(partial(self._changed, number))
            self._dirty.update(Place(number, key) for key in store.snapshot())

    # -- what others see

    @property
    def snapshot(self) -> Snapshot:
        """The state published last."""
        return self._snapshot

    @property
    def complete(self) -> bool:
        """Whether every feed has been read in full once, or need not be, and all of that is published. Once true,
        always true."""
        if not self._complete and self._last_good.settled and all(now.settled for now in self.statuses()):
            with self._wake:
                self._complete = not self._dirty and not self._building
        return self._complete

    def statuses(self) -> list[FeedStatus]:
        """How fresh each feed is."""
        return [status for feed in self._feeds for status in self.status_of(feed)]

    def status_of(self, feed: Feed) -> list[FeedStatus]:
        """How fresh one feed is: stale too while the newest state that it brought cannot be used."""
        found = feed.status()
        for place, outdated in self._outdated.items():
            if self._filled_by(self._stores[place.store]) is feed:
                why = str(outdated.problem)
                found = [now._replace(state="stale", detail=why) if now.state == "live" else now for now in found]
        return found

    def outdated(self) -> list[Outdated]:
        """The registries whose newest document cannot be read."""
        return list(self._outdated.values())

    def complaints(self) -> list[str]:
        """Everything an operator should mend: what the feeds could not read, then what could not be mapped."""
        unread = [problem for feed in self._feeds for problem in feed.complaints()]
        return unread + [str(problem) for problem in self._snapshot.problems]

    def report(self) -> tuple[bool, dict[str, Any]]:
        """The catalog's part of ``/readyz``: ready once everything was read (a source lost later does not make it
        unready), each source's state with the seconds since it was last in touch, and the registries whose newest
        document cannot be read, each with the one in force."""
        snapshot = self._snapshot
        sources = [
            {"name": status.name, "state": status.state, "age_seconds": round(status.age, 1)}
            | ({"detail": status.detail} if status.detail else {})
            for status in self.statuses()
        ]
        found = {"models": len(snapshot.rows), "problems": len(snapshot.problems), "sources": sources}
        outdated = [{"problem": str(item.problem), "in_force": item.in_force} for item in self.outdated()]
        return self.complete, found | ({"outdated_registries": outdated} if outdated else {})

    def subscribe(self, callback: Callable[[Snapshot], None]) -> None:
        """Call ``callback`` with every snapshot published from now on, in the building thread."""
        self._listeners.append(callback)

    # -- lifecycle

    def start(self) -> None:
        """Build what is known, then follow the stores."""
        self.build()
        self._thread = threading.Thread(target=self._run, name="catalog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop following."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _changed(self, store: int, keys: frozenset[Key]) -> None:
        with self._wake:
            self._dirty.update(Place(store, key) for key in keys)
            self._wake.notify_all()

    def _run(self) -> None:
        pause = 0.0
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._stopping, timeout=pause)
                self._wake.wait_for(lambda: self._dirty or self._stopping)
                if self._stopping:
                    return
            began = self._clock()
            try:
                self.build()
                pause = min(LONGEST_PAUSE, max(SHORTEST_PAUSE, PAUSE_FACTOR * (self._clock() - began)))
            except Exception:  # the thread must outlive a bug in one build; readers keep the last snapshot
                log.exception("building the catalog failed, the last one stays")
                pause = FAILURE_PAUSE

    # -- building

    def build(self) -> Snapshot:
        """Take in what changed and publish it. Returns the published snapshot, the old one if nothing changed."""
        with self._building_lock:
            with self._wake:
                dirty, self._dirty = self._dirty, set()
                self._building = True
            try:
                if dirty or self._snapshot is EMPTY:
                    self._publish(dirty)
            except BaseException:
                with self._wake:
                    self._dirty |= dirty  # nothing that changed is forgotten
                raise
            finally:
                with self._wake:
                    self._building = False
            return self._snapshot

    def _publish(self, dirty: set[Place]) -> None:
        started = time.perf_counter()
        for place in self._affected(dirty):
            self._take(place)
        fresh = self._shelf.snapshot(self._snapshot.version + 1)
        old = self._snapshot
        if old.read:
            # Someone lists: encoded here, no request waits for it. While nobody does, changes cost no encoding; the
            # first listing afterwards makes up for it.
            fresh.view(PUBLIC)
            fresh.read = False
        self._snapshot = fresh
        _log_problems(old, fresh)
        self._observer.built(time.perf_counter() - started, len(fresh.rows), len(fresh.problems))
        for callback in tuple(self._listeners):
            try:
                callback(fresh)
            except Exception:
                log.exception("a follower of the model catalog failed, the others go on")

    def _affected(self, dirty: set[Place]) -> set[Place]:
        """The dirty objects, and those whose membership hangs on a dirty HTTPRoute (which is indexed here)."""
        affected = set()
        for place in dirty:
            store = self._stores[place.store]
            if store.kind != HTTP_ROUTE:
                affected.add(place)
                continue
            for need in self._routes.put(RouteKey(place.store, *place.key), store.get(place.key)):
                affected |= self._needed_by.get(need, set())
        return affected

    def _take(self, place: Place) -> None:
        store = self._stores[place.store]
        obj = store.get(place.key)
        self._follow(place, kserve.route_needs(obj) if obj and store.kind == LLM_INFERENCE_SERVICE else ())
        try:
            mapped = self._map(store.kind, place, obj) if obj is not None else Mapped()
        except registry.RegistryError as fault:
            self._fall_back(place, obj or {}, fault.problem)
            return
        except Exception as fault:  # one odd object must not stop the others
            namespace, name = place.key
            log.exception("mapping an object failed", extra={"kind": store.kind.kind, "object": f"{namespace}/{name}"})
            rule = f"cannot be mapped: {type(fault).__name__}"
            mapped = Mapped(problems=(Problem(f"{store.kind.kind} {namespace}/{name}", "", "", rule),))
        self._shelf.put(place, mapped)
        if store.kind == CONFIG_MAP and place.key == self._registry:
            self._outdated = {other: why for other, why in self._outdated.items() if other != place}
            if obj is None:
                self._last_good.gone(place)
            else:
                self._last_good.took(place, obj)

    def _fall_back(self, place: Place, obj: Object, problem: Problem) -> None:
        """Put the last good document in the place of a registry that cannot be read."""
        document = self._last_good.in_force(place, obj)
        if document is not None:
            try:
                self._shelf.put(place, registry.to_entries(document.as_object(obj), self._routed))
            except registry.RegistryError:  # kept by a version that read more than this one
                log.warning("the registry's last good document cannot be read either")
        self._shelf.complain(place, problem)
        self._outdated = {**self._outdated, place: Outdated(problem, document)}

    def _map(self, kind: Kind, place: Place, obj: Object) -> Mapped:
        if kind == LLM_INFERENCE_SERVICE:
            return kserve.to_entry(obj, self._gateway, self._routes)
        if kind == INFERENCE_SERVICE:
            return inferenceservice.to_entry(obj)
        if kind == MAAS_MODEL_REF:
            return maasmodelref.to_entry(obj)
        if kind == CONFIG_MAP and place.key == self._registry:
            return registry.to_entries(obj, self._routed)
        return Mapped()

    def _follow(self, place: Place, needs: tuple[RouteNeed, ...]) -> None:
        """Remember which routes an object's mapping hangs on."""
        for need in self._needs.pop(place, ()):
            followers = self._needed_by[need]
            followers.discard(place)
            if not followers:
                del self._needed_by[need]
        if needs:
            self._needs[place] = needs
            for need in needs:
                self._needed_by.setdefault(need, set()).add(place)


def _log_problems(old: Snapshot, fresh: Snapshot) -> None:
    """Say each problem once, when it appears."""
    if fresh.problems is old.problems:
        return
    known = set(old.problems)
    for problem in fresh.problems:
        if problem not in known:
            log.warning("model catalog: %s", problem, extra=problem._asdict())
