"""Keys follow their owners: a verdict as it is now, whatever groups the key was minted with.

Which groups the owner is in comes from memory, so that a change is in force at the next validation, in every worker,
and nothing that a cache remembers has to be forgotten for it.
"""

from __future__ import annotations

from typing import Protocol

from maas_api.validation.verdict import OWNER_GONE, Verdict, with_groups


class Groups(Protocol):
    """One state of who is in which group; a new state is another object."""

    def now(self, name: str, minted: tuple[str, ...]) -> tuple[str, ...]:
        """The groups of a key's owner; empty where there is no valid key."""


class Rosters(Protocol):
    """What knows the newest state."""

    @property
    def roster(self) -> Groups | None:
        """None as long as nothing is known."""


class Owners:
    """Looks verdicts' owners up. ``size``: of how many keys the answer is remembered while nothing changes."""

    def __init__(self, rosters: Rosters, size: int) -> None:
        self._rosters = rosters
        self._size = size
        self._made: dict[str, tuple[Groups, Verdict, Verdict]] = {}

    @property
    def known(self) -> bool:
        """Whether anything may be said. Once it may, it stays so."""
        return self._rosters.roster is not None

    def now(self, verdict: Verdict) -> Verdict:
        """The verdict with its owner's groups, or a refusal."""
        if not verdict.valid:
            return verdict
        roster = self._rosters.roster
        if roster is None:
            return OWNER_GONE
        made = self._made.get(verdict.key_id)
        if made is not None and made[0] is roster and made[1] is verdict:
            return made[2]
        groups = roster.now(verdict.username, verdict.groups)
        found = OWNER_GONE if not groups else verdict if groups == verdict.groups else with_groups(verdict, groups)
        if len(self._made) >= self._size:
            self._made = {}
        self._made[verdict.key_id] = (roster, verdict, found)
        return found
