"""Everybody's groups as one source knows them, and what a key's owner is in now. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

SERVICE_ACCOUNT: Final = "system:serviceaccount:"
"""Begins the names of a cluster's own accounts: no directory of people has them, so none says that they left."""


class Roster:
    """One state, never changed. ``groups``: each group's members. ``disabled``: who has no valid key, whatever else is
    known. ``managed``: groups that the source decided at some time; one that is gone from it has no members.
    ``patterns``: the same by name, or by a prefix that ends in ``*``. ``all_listed``: whether whoever is in none of
    the groups has left."""

    def __init__(
        self,
        groups: Mapping[str, frozenset[str]],
        disabled: frozenset[str] = frozenset(),
        *,
        managed: frozenset[str] = frozenset(),
        patterns: tuple[str, ...] = (),
        all_listed: bool = False,
        before: Roster | None = None,
    ) -> None:
        """``before``: the state that this one follows. What it managed stays so, and what both have is not worked out
        again: all of a company's groups would take longer than an event may."""
        self.groups = groups
        self.disabled = disabled
        self.managed: frozenset[str] = managed | groups.keys() | (frozenset() if before is None else before.managed)
        self._exact = frozenset(pattern for pattern in patterns if not pattern.endswith("*"))
        self._prefixes = tuple(pattern[:-1] for pattern in patterns if pattern.endswith("*"))
        self._all_listed = all_listed
        self._of: _Of = _index(groups, {}, {}) if before is None else _index(groups, before.groups, before._of)

    def manages(self, group: str) -> bool:
        """Whether the source alone says who is in a group."""
        return group in self.managed or group in self._exact or group.startswith(self._prefixes or ("\0",))

    def of(self, name: str) -> Iterable[str]:
        """The groups that somebody is in by this source."""
        return self._of.get(name, ())

    def gone(self, name: str) -> bool:
        """Whether somebody has no valid key, in whatever group they were when it was minted."""
        return name in self.disabled or (self._all_listed and not self.listed(name))

    def listed(self, name: str) -> bool:
        """Whether the source knows somebody, or cannot be expected to."""
        return name in self._of or name.startswith(SERVICE_ACCOUNT)

    def now(self, name: str, minted: tuple[str, ...]) -> tuple[str, ...]:
        """The groups of a key's owner: of those it was minted with, the ones that nobody manages and those they are
        still in, then those they have joined. Empty: there is no valid key; they have left, or are in no group at
        all."""
        if self.gone(name):
            return ()
        mine = self._of.get(name, ())
        kept = tuple(group for group in minted if group in mine or not self.manages(group))
        if not mine or not (joined := [group for group in mine if group not in kept]):
            return kept
        return (*kept, *sorted(joined))


_Of = dict[str, frozenset[str]]
"""Everybody's groups."""


def _index(groups: Mapping[str, frozenset[str]], before: Mapping[str, frozenset[str]], of_before: _Of) -> _Of:
    found = dict(of_before)
    for group in before.keys() | groups.keys():
        were, are = before.get(group, _NOBODY), groups.get(group, _NOBODY)
        if were is are:
            continue
        only = frozenset((group,))
        for name in were - are:
            left = found[name] - only
            if left:
                found[name] = left
            else:
                del found[name]
        joined = are - were
        first = joined.difference(found)
        found.update(dict.fromkeys(first, only))
        for name in joined - first:
            found[name] |= only
    return found


_NOBODY: Final[frozenset[str]] = frozenset()
