"""Taking a batch in: read, folded, added to the store. What this says was taken is committed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from maas_api.usage import otlp
from maas_api.usage.prices import NO_PRICES, PriceBook
from maas_api.usage.rollup import Folded, Rows, fold
from maas_api.usage.statements.ledger import Ledger


class NotStoredError(Exception):
    """The batch could not be stored: nothing of it is counted, and sending it again is right. Says what failed.

    ``away``: the store itself, so that another batch would fail as well.
    """

    def __init__(self, fault: str, *, away: bool = False) -> None:
        super().__init__(fault)
        self.away = away


class Tally(NamedTuple):
    """Calls by what became of them, and tokens by kind."""

    metered: int = 0
    unmetered: int = 0
    errors: int = 0
    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0


Tallies = dict[tuple[str, str], Tally]
"""(subscription, model) -> what a batch counted there."""


class Taken(NamedTuple):
    """What became of a batch: records counted, records that were nobody's call, whether it had been counted before, and
    what was counted where it had not."""

    counted: int
    skipped: int
    repeated: bool
    tallies: Tallies


class Intake:
    """Takes batches in, in the thread that asks. Safe from any."""

    def __init__(
        self,
        ledger: Ledger,
        prices: Callable[[], PriceBook] = lambda: NO_PRICES,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``prices``: what calls cost, for budgets in money."""
        self._ledger = ledger
        self._prices = prices
        self._clock = clock

    def take(self, body: bytes, encoding: str = "") -> Taken:
        """Take an OTLP request in; ``encoding`` is its Content-Encoding. Raises OtlpError for one that is none, and
        NotStoredError when the store fails."""
        return self.store([self.read(body, encoding)])[0]

    def read(self, body: bytes, encoding: str = "") -> Folded:
        """What a request holds. Raises OtlpError."""
        body = otlp.unpack(body, encoding)
        return fold(otlp.entries(body), body, self._clock(), self._prices())

    def store(self, some: Sequence[Folded]) -> list[Taken]:
        """Add batches to the store, in one transaction. Raises NotStoredError: then none of them is added."""
        try:
            fresh = self._ledger.add_all(some)
        except sa.exc.SQLAlchemyError as fault:
            away = isinstance(fault, (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError))
            raise NotStoredError(type(fault).__name__, away=away) from fault
        return [
            Taken(batch.counted, batch.skipped, not is_new, _tallies(batch.rows) if is_new else {})
            for batch, is_new in zip(some, fresh, strict=True)
        ]


def _tallies(rows: Rows) -> Tallies:
    found: Tallies = {}
    for (_hour, series), counts in rows.items():
        metered = max(0, counts.requests - counts.errors - counts.unmetered)
        tally = (metered, counts.unmetered, counts.errors, counts.input, counts.output, counts.cached, counts.reasoning)
        place = series.subscription, series.model
        known = found.get(place)
        found[place] = Tally(*tally) if known is None else Tally(*map(int.__add__, known, tally))
    return found
