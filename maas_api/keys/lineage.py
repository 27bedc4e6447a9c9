"""What a key may be that is minted with another key: in nothing more than that one. Pure.

A key manages its owner's keys. If what it made could live longer or open more than itself, whoever got hold of it for
an hour would have a better one for good.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from maas_api.keys.budget import Budgets
from maas_api.keys.policy import PolicyError


class Held(NamedTuple):
    """A good key that somebody presents. ``until``: when the presented secret ends (None: it does not); ``newest``:
    whether it is the key's newest, and not one that a rotation left good for a while."""

    id: str
    username: str
    groups: tuple[str, ...]
    subscription: str
    models: tuple[str, ...] | None
    budgets: Budgets
    until: datetime | None
    newest: bool
    imported: bool = False

    def models_for(self, asked: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """The new key's allow-list: this one's where none is asked for. Raises PolicyError for a wider one."""
        if asked is None or self.models is None:
            return self.models if asked is None else asked
        wider = next((pattern for pattern in asked if not within(pattern, self.models)), None)
        if wider is not None:
            raise PolicyError(
                f"models entry {wider!r} is more than the API key that asks may call: {', '.join(self.models)}"
            )
        return asked

    def subscription_for(self, asked: str) -> str:
        """The new key's subscription as it is to be resolved. Raises PolicyError for another one."""
        if asked.rpartition("/")[2] not in ("", self.subscription):
            raise PolicyError(
                f"subscription must be {self.subscription!r}, that of the API key that asks, got {asked[:80]!r}"
            )
        return asked or self.subscription

    def end_for(self, end: datetime, *, asked: bool) -> datetime:
        """When the new key expires: this one's end at the latest. Raises PolicyError for a later one asked for."""
        if self.until is None or end <= self.until:
            return end
        if asked:
            raise PolicyError(
                f"expiresIn exceeds the life of the API key that asks, which ends at {self.until:%Y-%m-%dT%H:%M:%SZ}: "
                "expiration exceeds maximum allowed"
            )
        return self.until


class Above(NamedTuple):
    """The keys that a key ends with: their ids, whether all of them are good, and the unix second at which the first
    of them ends (None: none does)."""

    ids: tuple[str, ...] = ()
    good: bool = True
    until: float | None = None


def above(rows: Sequence[Sequence[Any]] | None, now: float) -> Above:
    """From the store's rows (id, whether bound, status, unix second of the end). A key that is gone is not good: who
    deleted it meant it to open nothing."""
    bound = [row for row in rows or () if row[1]]
    if not bound:
        return _NONE
    ends = [float(end) for _id, _bound, _status, end in bound if end is not None]
    good = all(status == "active" for _id, _bound, status, _end in bound) and all(end >= now for end in ends)
    return Above(tuple(row[0] for row in bound), good, min(ends, default=None))


_NONE = Above()


def within(pattern: str, allowed: Sequence[str]) -> bool:
    """Whether an allow-list lets through every model that ``pattern`` does."""
    return any(
        pattern.removesuffix("*").startswith(item[:-1]) if item.endswith("*") else pattern == item for item in allowed
    )
