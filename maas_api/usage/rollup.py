"""A batch of calls folded into hourly rows. Pure."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, NamedTuple

from maas_api.keys.budget import PARTS
from maas_api.usage.otlp import Entry
from maas_api.usage.prices import NO_PRICES, PriceBook, amount
from maas_api.usage.record import Counts, Hold, Measure, Series, holder, measure

HOUR: Final = 3600
_NANO: Final = 1_000_000_000
LATE_MAX: Final = 24 * HOUR
EARLY_MAX: Final = 300
"""Seconds a record's own time may lie behind and ahead of ours. Beyond that a clock is wrong, and ours counts: a
gateway must not write into months long closed."""

Rows = dict[tuple[int, Series], Counts]
"""(hour as Unix seconds, series) -> what is added to it."""


class Settlement(NamedTuple):
    """One call that something was held for: of whom, when it began, what it took. ``tokens``: None where nobody told.
    ``cost``: billionths of ``currency``, which is empty where the model has no price now."""

    holders: tuple[str, ...]
    at: datetime
    tokens: int | None
    cost: int
    currency: str
    hold: Hold

    def spent(self, currency: str) -> int:
        """What the call took of a budget in that currency, or in tokens (empty). What is not known is what was held."""
        if self.tokens is None:
            return self.hold.cost if currency else self.hold.tokens
        if not currency or not self.tokens:
            return self.tokens
        return self.cost if self.currency == currency else self.hold.cost


class Folded(NamedTuple):
    """A batch: its rows, how many records were counted and how many were nobody's call. ``digest`` names the batch;
    empty where a second one like it may be another."""

    rows: Rows
    counted: int
    skipped: int
    digest: str
    settlements: tuple[Settlement, ...] = ()


def fold(entries: Iterable[Entry], body: bytes, now: float, book: PriceBook = NO_PRICES) -> Folded:
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
        if found.hold is not None:
            settlements.append(_settlement(found, found.hold, datetime.fromtimestamp(moment, UTC), book))
        known = rows.get(place)
        rows[place] = found.counts if known is None else known + found.counts
    digest = hashlib.sha256(body).hexdigest() if timed and counted else ""
    return Folded(rows, counted, skipped, digest, tuple(settlements))


def merged(some: Iterable[Rows]) -> Rows:
    """The rows of several batches, each place once."""
    sums: Rows = {}
    for rows in some:
        for place, counts in rows.items():
            known = sums.get(place)
            sums[place] = counts if known is None else known + counts
    return sums


def _settlement(found: Measure, hold: Hold, at: datetime, book: PriceBook) -> Settlement:
    series, counts = found.series, found.counts
    holders = [series.key_id] if series.key_id else []
    if hold.reference:
        holders.append(holder(series.user, series.subscription, hold.reference))
    if counts.unmetered:
        return Settlement(tuple(holders), at, None, 0, "", hold)
    tokens = counts.tokens
    price = book.at(series.model, at) if book and tokens.total else None
    if price is None:
        return Settlement(tuple(holders), at, tokens.total, 0, "", hold)
    return Settlement(tuple(holders), at, tokens.total, math.ceil(amount(price, tokens) * PARTS), price.currency, hold)


def _moment(at: int, now: float) -> int:
    """When a call was, in Unix seconds."""
    seconds = at // _NANO
    return seconds if now - LATE_MAX <= seconds <= now + EARLY_MAX else int(now)
