"""A batch of calls folded into hourly rows. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final, NamedTuple

from maas_api.usage.otlp import Entry
from maas_api.usage.record import Counts, Series, measure

HOUR: Final = 3600
_NANO: Final = 1_000_000_000
LATE_MAX: Final = 24 * HOUR
EARLY_MAX: Final = 300
"""Seconds a record's own time may lie behind and ahead of ours. Beyond that a clock is wrong, and ours counts: a
gateway must not write into months long closed."""

Rows = dict[tuple[int, Series], Counts]
"""(hour as Unix seconds, series) -> what is added to it."""


class Folded(NamedTuple):
    """A batch: its rows, how many records were counted and how many were nobody's call. ``digest`` names the batch;
    empty where a second one like it may be another."""

    rows: Rows
    counted: int
    skipped: int
    digest: str


def fold(entries: Iterable[Entry], body: bytes, now: float) -> Folded:
    """Rows of a batch. ``body`` is what the records were in, ``now`` Unix seconds.

    A collector that gets no answer sends the same bytes again. Bytes that hold each record's time to the nanosecond
    do not come twice by themselves; where a record has no time they could, and the batch has no digest.
    """
    rows: Rows = {}
    counted = skipped = 0
    timed = True
    for at, attributes in entries:
        found = measure(attributes)
        if found is None:
            skipped += 1
            continue
        counted += 1
        timed = timed and at > 0
        place = (_hour(at, now), found.series)
        known = rows.get(place)
        rows[place] = found.counts if known is None else known + found.counts
    return Folded(rows, counted, skipped, hashlib.sha256(body).hexdigest() if timed and counted else "")


def _hour(at: int, now: float) -> int:
    seconds = at // _NANO
    if not now - LATE_MAX <= seconds <= now + EARLY_MAX:
        seconds = int(now)
    return seconds - seconds % HOUR
