"""Keeps the roster equal to its source. What reads it takes one reference, and waits for nobody.

Until the source was read once there is no roster, and nobody is answered for: whoever is disabled must not have a valid
key because a replica has just started. Afterwards the last known state counts, however long the source is away, and so
it does while a document cannot be read or is gone.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from maas_api.kube.objects import Changed, Feed, Key, Object, ObjectStore
from maas_api.membership.reading import DocumentError
from maas_api.membership.roster import Roster
from maas_api.membership.sources import People, members, people

_log = logging.getLogger(__name__)

Make = Callable[[Mapping[str, frozenset[str]], frozenset[str], Roster | None], Roster]
"""(groups, disabled, the roster before) -> the roster, as the settings say."""


class Membership:
    """The roster, None until it is known. ``wanted``: the one ConfigMap with the directory; None for Group objects."""

    def __init__(self, stores: Sequence[ObjectStore], feeds: Sequence[Feed], wanted: Key | None, make: Make) -> None:
        self._stores = tuple(stores)
        self._feeds = tuple(feeds)
        self._wanted = wanted
        self._make = make
        self._lock = threading.Lock()
        self._roster: Roster | None = None
        self._problem = "not read yet"
        self._members: dict[tuple[int, str], tuple[Object, frozenset[str]]] = {}
        for store in self._stores:
            store.subscribe(self._changed)

    @property
    def roster(self) -> Roster | None:
        """The last known state."""
        if self._roster is None:
            self._first()
        return self._roster

    def gone(self, name: str) -> bool:
        """Whether somebody has left or is disabled; before anything is known, everybody counts so."""
        roster = self.roster
        return roster is None or roster.gone(name)

    def report(self) -> tuple[bool, dict[str, Any]]:
        """Whether it is known, and what an operator wants to know of it."""
        roster = self.roster
        states = [status for feed in self._feeds for status in feed.status()]
        said: dict[str, Any] = {"stale": any(status.state == "stale" for status in states) or bool(self._problem)}
        if roster is not None:
            said |= {"groups": len(roster.groups), "disabled": len(roster.disabled)}
        if self._problem:
            said["problem"] = self._problem
        return roster is not None, said

    def _first(self) -> None:
        """An empty source makes no event, so the feeds are asked until they have been read."""
        if all(status.synced for feed in self._feeds for status in feed.status()):
            with self._lock:
                if self._roster is None:
                    self._take()

    def _changed(self, changed: Changed) -> None:
        """In the feed's thread, so that an event is in force before the next one is read."""
        if self._wanted is not None and self._wanted not in changed:
            return
        if self._roster is None and not all(status.synced for feed in self._feeds for status in feed.status()):
            return  # a store is filled before its feed says so; another one may be empty still
        with self._lock:
            self._take()

    def _take(self) -> None:
        try:
            found = self._document() if self._wanted is not None else self._groups()
        except DocumentError as fault:
            self._tell(str(fault))
            return
        self._roster = self._make(found.groups, found.disabled, self._roster)
        self._tell("")

    def _groups(self) -> People:
        """Of a group that has not changed, the same set as before."""
        found: dict[str, frozenset[str]] = {}
        known, self._members = self._members, {}
        for number, store in enumerate(self._stores):
            for (_, name), group in store.snapshot().items():
                held = known.get((number, name))
                if held is None or held[0] is not group:
                    held = group, members(group)
                self._members[number, name] = held
                found[name] = found[name] | held[1] if name in found else held[1]
        return People(found, frozenset())

    def _document(self) -> People:
        """Raises DocumentError."""
        held: Object | None = next(
            (found for store in self._stores if (found := store.get(self._wanted or ("", "")))), None
        )
        if held is None:
            raise DocumentError(f"there is no ConfigMap {'/'.join(self._wanted or ())}")
        return people(held)

    def _tell(self, problem: str) -> None:
        """Once, for as long as it lasts."""
        if problem and problem != self._problem:
            _log.warning("the directory cannot be used, its last known state stays", extra={"fault": problem})
        self._problem = problem
