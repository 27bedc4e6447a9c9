"""A wall clock that a test moves."""

from __future__ import annotations

from datetime import UTC, datetime

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Clock:
    """Says noon until it is set to something else."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now
