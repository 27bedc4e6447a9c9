"""The catalog at one moment: immutable, encoded, ready to be served from any thread."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import groupby
from types import MappingProxyType
from typing import Any, NamedTuple, cast

from cachetools import LRUCache

from maas_api.access.decision import PUBLIC, Grants, Scope, ScopeGrants, closed
from maas_api.models.encoding import model_info, openai
from maas_api.models.forms import Body
from maas_api.models.model import LocalModel, ModelEntry, Omission, Problem
from maas_api.models.pages import page

MAX_VIEWS_BYTES = 32 * 1024 * 1024
"""Views of one snapshot that are kept, together. The common one (no groups, no allow-list) is kept beside them.

By size and not by number: callers choose the allow-lists of their keys, and each one may be a view of everything.
"""
_VIEW_BYTES, _ROW_BYTES = 4096, 100  # what a view (with its scope) and a row take beside the body, roughly

MAX_PAGES = 64
"""Pages of one view that are kept."""

Rank = tuple[str, bool, int, str]


class Row(NamedTuple):
    """An entry with its place in the order and its bytes in the listing."""

    rank: Rank
    entry: ModelEntry
    fragment: bytes


def rank(entry: ModelEntry) -> Rank:
    """The order of the listing: by id. Of several with one id the first that a caller may see is shown: a model in
    the cluster before an outside provider's, then the oldest, so that nobody takes over an id that is in use."""
    return entry.id, entry.external, entry.created, entry.origin


def shown(same: Iterable[Row]) -> list[Row]:
    """Those rows of one id that are listed: the first, and where that is a MaaSModelRef every other one. Each of these
    is an entry of its own to its subscriptions, as in the Go service; any other source gives an id one meaning."""
    first, *others = same
    if not first.entry.reference:
        return [first]
    return [first, *(row for row in others if row.entry.reference)]


def _id(row: Row) -> str:
    return row.entry.id


class View:
    """What callers of one scope see: rows in order."""

    __slots__ = ("_info", "_pages", "listing", "rows")

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.listing = Body(b'{"object":"list","data":[' + b",".join([row.fragment for row in rows]) + b"]}")
        self._pages: dict[str, Body] = {}
        self._info: Body | None = None

    def info(self) -> Body:
        """All of it in LiteLLM's shape, encoded once. Of several rows with one id the first stands."""
        if self._info is None:
            entries = (next(same).entry for _, same in groupby(self.rows, key=_id))
            self._info = Body(b'{"data":[' + b",".join([model_info(entry) for entry in entries]) + b"]}")
        return self._info

    def page(self, query: str) -> Body:
        """A page in Anthropic's shape, encoded once per query. Raises ApiError 400 (see ``page``)."""
        found = self._pages.get(query)
        if found is None:
            # A cursor is an id, so here the first of several with one id stands for all.
            found = Body(page([next(same).entry for _, same in groupby(self.rows, key=_id)], query))
            if len(self._pages) >= MAX_PAGES:
                self._pages.clear()
            self._pages[query] = found
        return found

    def find(self, identifier: str) -> Row | None:
        """The row with that id."""
        place = bisect_left(self.rows, identifier, key=_id)
        return self.rows[place] if place < len(self.rows) and _id(self.rows[place]) == identifier else None

    def find_alias(self, name: str) -> Row | None:
        """The first row that has ``name`` among its aliases."""
        return next((row for row in self.rows if name in row.entry.aliases), None)


def _size(view: View) -> int:
    return _VIEW_BYTES + len(view.listing.plain) * 3 // 2 + _ROW_BYTES * len(view.rows)


class Snapshot:
    """Entries in order, what is wrong, what was left out, and what a gateway needs.

    ``version`` counts published states of this process, from 0 for the empty state before the first build. ``rows``
    are in :func:`rank` order. ``plain``: no id occurs twice and no entry is restricted to groups, so that the common
    view is all of them; thousands of rows need not be looked at after every change. ``unique``: no id occurs twice.
    ``by_prefix``: the ids and
    aliases of the local models by the path prefix that leads to them. ``by_other_name``: the ids behind each alias
    and each name that a provider uses.
    """

    def __init__(
        self,
        version: int,
        rows: tuple[Row, ...],
        problems: tuple[Problem, ...] = (),
        omissions: tuple[Omission, ...] = (),
        *,
        plain: bool = False,
        unique: bool = False,
        by_prefix: Mapping[str, frozenset[str]] = MappingProxyType({}),
        by_other_name: Mapping[str, frozenset[str]] = MappingProxyType({}),
    ) -> None:
        self.version = version
        self.rows = rows
        self.problems = problems
        self.omissions = omissions
        self.plain = plain
        self.unique = unique
        self.by_prefix = by_prefix
        self.by_other_name = by_other_name
        self.read = False  # whether anyone has asked for a view
        # By name and by path, as they are asked for: nothing is indexed that nobody calls.
        self._named: dict[str, tuple[ModelEntry, ...]] = {}
        self._served: dict[str, tuple[ModelEntry, ...]] = {}
        self._views: LRUCache[Scope, View] = LRUCache(MAX_VIEWS_BYTES, getsizeof=_size)
        self._lock = threading.Lock()

    @property
    def entries(self) -> tuple[ModelEntry, ...]:
        """Every entry, duplicates included."""
        return tuple(row.entry for row in self.rows)

    @cached_property
    def groups(self) -> frozenset[str]:
        """Every group that some entry is restricted to."""
        if self.plain:
            return frozenset()
        restricted = [row.entry.groups for row in self.rows if row.entry.groups]
        return frozenset().union(*restricted) if restricted else frozenset()

    @cached_property
    def namespaces(self) -> frozenset[str]:
        """Every namespace with models in it."""
        return frozenset(row.entry.namespace for row in self.rows if row.entry.namespace)

    @cached_property
    def references(self) -> frozenset[str]:
        """Every MaaSModelRef that is listed, as ``namespace/name``."""
        return frozenset(row.entry.reference for row in self.rows if row.entry.reference)

    @cached_property
    def providers(self) -> tuple[str, ...]:
        """The providers of the outside models, in order."""
        return tuple(sorted({row.entry.provider for row in self.rows if row.entry.provider}))

    @cached_property
    def local_models(self) -> tuple[LocalModel, ...]:
        """What a gateway routes to in the cluster, by namespace and name."""
        found = {row.entry.local for row in self.rows if row.entry.local is not None}
        return tuple(sorted(found, key=lambda local: (local.namespace, local.name)))

    def view(self, scope: Scope) -> View:
        """What callers of a scope see. Built at most once while it is kept."""
        self.read = True
        if scope == PUBLIC:
            return self._public
        with self._lock:
            found = self._views.get(scope)
        if found is None:
            found = View(tuple(self._visible(scope)))
            if _size(found) <= MAX_VIEWS_BYTES:
                with self._lock:
                    self._views[scope] = found
        return found

    @cached_property
    def _public(self) -> View:
        return View(self.rows if self.plain else tuple(self._visible(PUBLIC)))

    def _visible(self, scope: Scope) -> Iterator[Row]:
        rows: Sequence[Row] = self.rows if scope.models is None else self._matching(scope.models)
        grants = ScopeGrants(scope)
        allowed = [row for row in rows if closed(row.entry, grants) is None]
        for _, same in groupby(allowed, key=_id):
            for row in shown(same):
                labels = grants.labels.get(row.entry.reference) if row.entry.reference else None
                yield row._replace(fragment=openai(row.entry, labels)) if labels else row

    def with_id(self, identifier: str) -> Iterator[Row]:
        """The rows of one id, in order."""
        # A row begins with its rank, and that with the id: compared as tuples, without a call of ours at each step.
        place = bisect_left(cast(Sequence[Any], self.rows), ((identifier,),))
        while place < len(self.rows) and self.rows[place].entry.id == identifier:
            yield self.rows[place]
            place += 1

    def lists(self, entry: ModelEntry, grants: Grants) -> bool:
        """Whether an entry that is open to the caller is listed, not kept off by another one of its id."""
        if self.unique:
            return True
        same = (row for row in self.with_id(entry.id) if closed(row.entry, grants) is None)
        return any(row.entry is entry for row in shown(same))

    def named(self, name: str) -> tuple[ModelEntry, ...]:
        """The entries that go by a name: first those whose id it is, then by alias or a provider's name for it."""
        found = self._named.get(name)
        if found is None:
            ids = (name, *sorted(self.by_other_name.get(name, ())))
            found = tuple(row.entry for identifier in ids for row in self.with_id(identifier))
            if found:  # names that nobody has are without number
                self._named[name] = found
        return found

    def served_at(self, path_prefix: str) -> tuple[ModelEntry, ...]:
        """The entries of what is served at a path in the cluster."""
        found = self._served.get(path_prefix)
        if found is None:
            rows = (row for name in self.by_prefix.get(path_prefix, ()) for row in self.with_id(name))
            found = tuple(row.entry for row in rows if row.entry.path_prefix == path_prefix)
            if found:
                self._served[path_prefix] = found
        return found

    def _matching(self, patterns: Sequence[str]) -> list[Row]:
        """The rows an allow-list may name: exact names, and prefixes that end in ``*``. In order."""
        chosen: set[int] = set()
        for pattern in patterns:
            whole = not pattern.endswith("*")
            for start in self._starts(pattern if whole else pattern[:-1], whole=whole):
                chosen.update(self._run(start, whole=whole))
        return [self.rows[place] for place in sorted(chosen)]

    def _starts(self, name: str, *, whole: bool) -> Iterator[str]:
        """The ids, or their beginnings, that a pattern may mean."""
        yield name
        if whole:
            yield from self.by_other_name.get(name, ())
            return
        for other, ids in self.by_other_name.items():
            if other.startswith(name):
                yield from ids

    def _run(self, start: str, *, whole: bool) -> Iterator[int]:
        place = bisect_left(self.rows, start, key=_id)
        while place < len(self.rows):
            identifier = self.rows[place].entry.id
            if not (identifier == start if whole else identifier.startswith(start)):
                break
            yield place
            place += 1


EMPTY = Snapshot(0, ())
