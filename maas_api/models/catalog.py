"""The catalog: what the stores hold, mapped, merged, encoded once, and published as an immutable snapshot.

Stores announce changed keys; one thread maps those objects again (and those whose HTTPRoute changed), and swaps
the published snapshot. Changes that arrive close together become one snapshot. Readers take the reference and never
wait. An object that cannot be mapped is reported and left out; a registry document that does not parse keeps the
entries of the last good one.
"""

from __future__ import annotations

import logging
import threading
import time
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from typing import NamedTuple, Protocol, TypeVar

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
from maas_api.models import inferenceservice, kserve, maasmodelref, registry
from maas_api.models.encoding import openai
from maas_api.models.kserve import Gateway, RouteNeed
from maas_api.models.model import Mapped, Omission, Problem
from maas_api.models.routes import RouteIndex, RouteKey
from maas_api.models.snapshot import EMPTY, PUBLIC, Row, Snapshot, rank

log = logging.getLogger(__name__)

_T = TypeVar("_T")

PAUSE_FACTOR = 4.0
SHORTEST_PAUSE, LONGEST_PAUSE = 0.005, 0.02
"""Seconds between two builds at the least; the longest bounds how long a change may wait for a busy machine."""


class CatalogObserver(Protocol):
    """What a catalog reports, for metrics."""

    def built(self, seconds: float, models: int, problems: int) -> None:
        """A snapshot was published: how long mapping and encoding took, entries listed, problems found."""


class _Silent:
    def built(self, seconds: float, models: int, problems: int) -> None:
        """Nothing to tell anyone."""


class _Place(NamedTuple):
    """One object of one store."""

    store: int
    key: Key


class Catalog:
    """Publishes a :class:`Snapshot` of what the stores hold.

    ``gateway`` decides which LLMInferenceServices belong. ``registry`` is the (namespace, name) of the registry
    ConfigMap. ``feeds`` fill the stores and say how fresh they are. After a build the next one waits for
    ``PAUSE_FACTOR`` times as long as it took, so that a stream of changes costs a bounded share of the processor.
    """

    def __init__(
        self,
        *,
        gateway: Gateway,
        registry: Key,
        stores: Sequence[ObjectStore],
        feeds: Sequence[Feed] = (),
        observer: CatalogObserver | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gateway = gateway
        self._registry = registry
        self._stores = tuple(stores)
        self._feeds = tuple(feeds)
        self._observer = observer or _Silent()
        self._clock = clock
        self._snapshot = EMPTY
        self._listeners: list[Callable[[Snapshot], None]] = []
        self._complete = False
        # Under _wake: what changed and is not yet taken.
        self._wake = threading.Condition()
        self._dirty: set[_Place] = set()
        self._building = False
        self._stopping = False
        self._thread: threading.Thread | None = None
        # Under _building_lock: the mapped state.
        self._building_lock = threading.Lock()
        self._routes = RouteIndex()
        self._needed_by: dict[RouteNeed, set[_Place]] = {}
        self._needs: dict[_Place, tuple[RouteNeed, ...]] = {}
        self._rows_of: dict[_Place, tuple[Row, ...]] = {}
        self._rows: list[Row] = []
        self._ids: Counter[str] = Counter()
        self._restricted = 0  # rows that name groups
        self._served_at: dict[str, dict[_Place, frozenset[str]]] = {}
        self._by_prefix: dict[str, frozenset[str]] = {}
        self._problems: dict[_Place, tuple[Problem, ...]] = {}
        self._omissions: dict[_Place, tuple[Omission, ...]] = {}
        for number, store in enumerate(self._stores):
            store.subscribe(partial(self._changed, number))
            self._dirty.update(_Place(number, key) for key in store.snapshot())

    # -- what others see

    @property
    def snapshot(self) -> Snapshot:
        """The state published last."""
        return self._snapshot

    @property
    def complete(self) -> bool:
        """Whether every feed has been read in full once and all of that is published. Once true, always true."""
        if not self._complete and all(status.synced for status in self.statuses()):
            with self._wake:
                self._complete = not self._dirty and not self._building
        return self._complete

    def statuses(self) -> list[FeedStatus]:
        """How fresh each feed is."""
        return [status for feed in self._feeds for status in feed.status()]

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
            self._dirty.update(_Place(store, key) for key in keys)
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
            except Exception:  # the thread must outlive a bug in one build; readers keep the last snapshot
                log.exception("building the catalog failed, the last one stays")
            pause = min(LONGEST_PAUSE, max(SHORTEST_PAUSE, PAUSE_FACTOR * (self._clock() - began)))

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
            finally:
                with self._wake:
                    self._building = False
            return self._snapshot

    def _publish(self, dirty: set[_Place]) -> None:
        started = time.perf_counter()
        for place in self._affected(dirty):
            self._take(place)
        problems = [problem for place in sorted(self._problems) for problem in self._problems[place]]
        omissions = [omission for place in sorted(self._omissions) for omission in self._omissions[place]]
        fresh = Snapshot(
            self._snapshot.version + 1,
            tuple(self._rows),
            (*problems, *self._duplicates()),
            tuple(omissions),
            plain=len(self._rows) == len(self._ids) and not self._restricted,
            by_prefix=dict(self._by_prefix),
        )
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

    def _affected(self, dirty: set[_Place]) -> set[_Place]:
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

    def _take(self, place: _Place) -> None:
        store = self._stores[place.store]
        obj = store.get(place.key)
        self._follow(place, kserve.route_needs(obj) if obj and store.kind == LLM_INFERENCE_SERVICE else ())
        try:
            mapped = self._map(store.kind, place, obj) if obj is not None else Mapped()
        except registry.RegistryError as fault:
            self._problems[place] = (fault.problem,)
            return
        except Exception as fault:  # one odd object must not stop the others
            namespace, name = place.key
            log.exception("mapping an object failed", extra={"kind": store.kind.kind, "object": f"{namespace}/{name}"})
            rule = f"cannot be mapped: {type(fault).__name__}"
            mapped = Mapped(problems=(Problem(f"{store.kind.kind} {namespace}/{name}", "", "", rule),))
        self._put(place, mapped)

    def _map(self, kind: Kind, place: _Place, obj: Object) -> Mapped:
        if kind == LLM_INFERENCE_SERVICE:
            return kserve.to_entry(obj, self._gateway, self._routes)
        if kind == INFERENCE_SERVICE:
            return inferenceservice.to_entry(obj)
        if kind == MAAS_MODEL_REF:
            return maasmodelref.to_entry(obj)
        if kind == CONFIG_MAP and place.key == self._registry:
            return registry.to_entries(obj)
        return Mapped()

    def _follow(self, place: _Place, needs: tuple[RouteNeed, ...]) -> None:
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

    def _put(self, place: _Place, mapped: Mapped) -> None:
        for row in self._rows_of.pop(place, ()):
            index = bisect_left(self._rows, row.rank, key=_rank)
            while self._rows[index] is not row:
                index += 1
            del self._rows[index]
            self._ids[row.entry.id] -= 1
            if not self._ids[row.entry.id]:
                del self._ids[row.entry.id]
            self._restricted -= bool(row.entry.groups)
            if row.entry.local is not None:
                self._serve(row.entry.local.path_prefix, place, None)
        rows = tuple(Row(rank(entry), entry, openai(entry)) for entry in mapped.entries)
        for row in rows:
            insort(self._rows, row, key=_rank)
            self._ids[row.entry.id] += 1
            self._restricted += bool(row.entry.groups)
            if row.entry.local is not None:
                self._serve(row.entry.local.path_prefix, place, frozenset((row.entry.id, *row.entry.aliases)))
        if rows:
            self._rows_of[place] = rows
        _set(self._problems, place, mapped.problems)
        _set(self._omissions, place, mapped.omissions)

    def _serve(self, prefix: str, place: _Place, names: frozenset[str] | None) -> None:
        """Note the names an object answers to at a path (None: it is gone). Two feeds may know one object."""
        holders = self._served_at.setdefault(prefix, {})
        if names is None:
            holders.pop(place, None)
        else:
            holders[place] = names
        if holders:
            self._by_prefix[prefix] = frozenset().union(*holders.values())
        else:
            del self._served_at[prefix], self._by_prefix[prefix]

    def _duplicates(self) -> list[Problem]:
        """One problem for each entry whose id an earlier one has."""
        if len(self._rows) == len(self._ids):
            return []
        found = []
        for identifier, same in groupby(self._rows, key=lambda row: row.entry.id):
            first, *others = (row.entry for row in same)
            for entry in others:
                rule = f"is the id of {first.source} {first.origin} already, which is shown instead"
                found.append(Problem(f"{entry.source} {entry.origin}", "", "id", rule, repr(identifier)))
        return found


def _rank(row: Row) -> tuple[str, bool, int, str]:
    return row.rank


def _set(held: dict[_Place, tuple[_T, ...]], place: _Place, values: tuple[_T, ...]) -> None:
    if values:
        held[place] = values
    else:
        held.pop(place, None)


def _log_problems(old: Snapshot, fresh: Snapshot) -> None:
    """Say each problem once, when it appears."""
    known = set(old.problems)
    for problem in fresh.problems:
        if problem not in known:
            log.warning("model catalog: %s", problem, extra=problem._asdict())
