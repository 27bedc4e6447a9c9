"""A batch of calls folded into hourly rows. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, NamedTuple

from maas_api.usage.otlp import Entry
from maas_api.usage.record import Counts, Hold, Series, measure

HOUR: Final = 3600
_NANO: Final = 1_000_000_000
LATE_MAX: Final = 24 * HOUR
EARLY_MAX: Final = 300
"""Seconds a record's own time may lie behind and ahead of ours. Beyond that a clock is wrong, and ours counts: a
gateway must not write into months long closed."""

Rows = dict[tuple[int, Series], Counts]
"""(hour as Unix seconds, series) -> what is added to it."""


class Settlement(NamedTuple):
    """One call of a key with budgets: when it began, what it took, and what was held for it."""

    key_id: str
    at: datetime
    tokens: int
    hold: Hold


class Folded(NamedTuple):
    """A batch: its rows, how many records were counted and how many were nobody's call. ``digest`` names the batch;
    empty where a second one like it may be another."""

    rows: Rows
    counted: int
    skipped: int
    digest: str
    settlements: tuple[Settlement, ...] = ()


def fold(entries: Iterable[Entry], body: bytes, now: float) -> Folded:
    """Rows of a batch. ``body`` is what the records were in, ``now`` Unix seconds.

    A collector that gets no answer sends the same bytes again. Bytes that hold each record's time to the nanosecond
    do not come twice by themselves; where a record has no time they could, and the batch has no digest.
    """
    rows: Rows = {}
    counted = skipped = 0
    timed = True
    settlements: list[Settlement] = []
    for at, attributes in entries:
        found = measure(attributes)
        if found is None:
            skipped += 1
            continue
        counted += 1
        timed = timed and at > 0
        moment = _moment(at, now)
        place = (moment - moment % HOUR, found.series)
        if found.hold is not None and found.series.key_id:
            taken = found.counts.input + found.counts.output
            settlements.append(Settlement(found.series.key_id, datetime.fromtimestamp(moment, UTC), taken, found.hold))
        known = rows.get(place)
        rows[place] = found.counts if known is None else known + found.counts
    digest = hashlib.sha256(body).hexdigest() if timed and counted else ""
    return Folded(rows, counted, skipped, digest, tuple(settlements))


def _moment(at: int, now: float) -> int:
    """When a call was, in Unix seconds."""
    seconds = at // _NANO
    return seconds if now - LATE_MAX <= seconds <= now + EARLY_MAX else int(now)
