"""The mapped entries in listing order, kept so that one change costs one change, however many models there are."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Generic, NamedTuple, TypeVar

from maas_api.kube.objects import Key
from maas_api.models.encoding import openai
from maas_api.models.model import Mapped, Omission, Problem
from maas_api.models.snapshot import Rank, Row, Snapshot, rank, shown

T = TypeVar("T")


class Place(NamedTuple):
    """One object of one store, by the store's number."""

    store: int
    key: Key


class Shelf:
    """What every object became. :meth:`put` changes it, :meth:`snapshot` freezes it. Not thread-safe."""

    def __init__(self) -> None:
        self._rows_of: dict[Place, tuple[Row, ...]] = {}
        self._rows: list[Row] = []
        self._ids: Counter[str] = Counter()
        self._restricted = 0  # rows that name groups
        self._served_at: dict[str, dict[Place, frozenset[str]]] = {}
        self._by_prefix: dict[str, frozenset[str]] = {}
        self._published: Mapping[str, frozenset[str]] | None = None  # a copy of it, while that is current
        self._named: dict[str, Counter[str]] = {}  # ids by alias
        self._names: Mapping[str, frozenset[str]] | None = None  # a copy of it, while that is current
        self._problems: _Notes[Problem] = _Notes()
        self._omissions: _Notes[Omission] = _Notes()

    def put(self, place: Place, mapped: Mapped) -> None:
        """Replace what an object became; an empty result takes it off."""
        old = self._rows_of.pop(place, ())
        rows = tuple(Row(rank(entry), entry, openai(entry)) for entry in mapped.entries)
        for row in old:
            self._remove(row)
        for row in rows:
            self._add(row)
        if rows:
            self._rows_of[place] = rows
        before, after = _names(old), _names(rows)
        if before != after:  # most changes are of a status: then thousands of paths need not be copied again
            self._published = None
            for prefix in before.keys() | after.keys():
                self._serve(prefix, place, after.get(prefix))
        if _others(old) != _others(rows):
            self._names = None
            for sign, changed in ((-1, old), (1, rows)):
                for name, identifier in _others(changed):
                    self._name(name, identifier, sign)
        self._problems.put(place, mapped.problems)
        self._omissions.put(place, mapped.omissions)

    def complain(self, place: Place, problem: Problem) -> None:
        """Note a problem of an object whose entries stay as they are."""
        self._problems.put(place, (problem,))

    def snapshot(self, version: int) -> Snapshot:
        """The state now."""
        if self._published is None:
            self._published = dict(self._by_prefix)
        if self._names is None:
            self._names = {name: frozenset(ids) for name, ids in self._named.items()}
        unique = len(self._rows) == len(self._ids)
        return Snapshot(
            version,
            tuple(self._rows),
            self._problems.all if unique else (*self._problems.all, *self._duplicates()),
            self._omissions.all,
            plain=unique and not self._restricted,
            unique=unique,
            by_prefix=self._published,
            by_other_name=self._names,
        )

    def _add(self, row: Row) -> None:
        insort(self._rows, row, key=_rank)
        self._ids[row.entry.id] += 1
        self._restricted += bool(row.entry.groups)

    def _remove(self, row: Row) -> None:
        index = bisect_left(self._rows, row.rank, key=_rank)
        while self._rows[index] is not row:
            index += 1
        del self._rows[index]
        self._ids[row.entry.id] -= 1
        if not self._ids[row.entry.id]:
            del self._ids[row.entry.id]
        self._restricted -= bool(row.entry.groups)

    def _serve(self, prefix: str, place: Place, names: frozenset[str] | None) -> None:
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

    def _name(self, name: str, identifier: str, sign: int) -> None:
        """Count one more (or less) entry of this id that goes by ``name`` too."""
        held = self._named.setdefault(name, Counter())
        held[identifier] += sign
        if not held[identifier]:
            del held[identifier]
        if not held:
            del self._named[name]

    def _duplicates(self) -> Iterator[Problem]:
        """One problem for each entry that another one's id keeps off the listing."""
        for identifier, same in groupby(self._rows, key=lambda row: row.entry.id):
            rows = list(same)
            listed = shown(rows)
            first = rows[0].entry
            for entry in (row.entry for row in rows if row not in listed):
                rule = f"is the id of {first.source} {first.origin} already, which is shown instead"
                yield Problem(f"{entry.source} {entry.origin}", "", "id", rule, repr(identifier))


class _Notes(Generic[T]):
    """Remarks by object. ``all`` has them in a stable order, put together again only after a change."""

    def __init__(self) -> None:
        self._held: dict[Place, tuple[T, ...]] = {}
        self._all: tuple[T, ...] | None = ()

    def put(self, place: Place, notes: tuple[T, ...]) -> None:
        if self._held.get(place, ()) == notes:
            return
        self._all = None
        if notes:
            self._held[place] = notes
        else:
            del self._held[place]

    @property
    def all(self) -> tuple[T, ...]:
        if self._all is None:
            self._all = tuple(note for place in sorted(self._held) for note in self._held[place])
        return self._all


def _names(rows: Iterable[Row]) -> dict[str, frozenset[str]]:
    """The names the rows' local models answer to, by their paths."""
    local = ((row.entry.local, row.entry) for row in rows)
    return {model.path_prefix: frozenset((entry.id, *entry.aliases)) for model, entry in local if model is not None}


def _others(rows: Iterable[Row]) -> list[tuple[str, str]]:
    """The rows' names beside their ids, each with the id."""
    return [(name, row.entry.id) for row in rows for name in row.entry.other_names]


def _rank(row: Row) -> Rank:
    return row.rank
