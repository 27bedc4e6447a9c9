"""Taking a batch in: read, folded, added to the store, counted. What this says was taken is committed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from maas_api.observability import metrics
from maas_api.usage import otlp
from maas_api.usage.prices import NO_PRICES, PriceBook
from maas_api.usage.rollup import Folded, Rows, fold
from maas_api.usage.statements.ledger import Ledger

_COUNTED, _SKIPPED, _REPEATED = (metrics.usage_records.labels(result) for result in ("counted", "skipped", "repeated"))


class Taken(NamedTuple):
    """What became of a batch: records counted, records that were nobody's call, whether it had been counted before."""

    counted: int
    skipped: int
    repeated: bool


class Listener(Protocol):
    """Is told of rows once they are in the store."""

    def __call__(self, rows: Rows) -> None: ...


class Intake:
    """The way in. Safe from any thread."""

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
        self._listeners: list[Listener] = [_count]

    def tell(self, listener: Listener) -> None:
        """Have ``listener`` told of every batch's rows after it is committed."""
        self._listeners.append(listener)

    def take(self, body: bytes) -> Taken:
        """Take an OTLP request in. Raises OtlpError for one that is none, sqlalchemy.exc.SQLAlchemyError when the
        store fails: then nothing of it is counted, and sending it again is right."""
        batch = fold(otlp.entries(body), body, self._clock(), self._prices())
        fresh = self._ledger.add(batch)
        if not fresh:
            _REPEATED.inc(batch.counted)
            return Taken(0, batch.skipped, True)
        _COUNTED.inc(batch.counted)
        _SKIPPED.inc(batch.skipped)
        self._publish(batch)
        return Taken(batch.counted, batch.skipped, False)

    def _publish(self, batch: Folded) -> None:
        for listener in self._listeners:
            listener(batch.rows)


_SERIES_MAX = 1_000
_pairs: set[tuple[str, str]] = set()


def _count(rows: Rows) -> None:
    """The counters by subscription and model. Models are the registry's and subscriptions the cluster's, so there
    are as many series as an operator made; should there be more than a thousand pairs, the rest is one."""
    for (_hour, series), counts in rows.items():
        pair = (series.subscription, series.model)
        if pair not in _pairs:
            if len(_pairs) >= _SERIES_MAX:
                pair = ("", "other")
            _pairs.add(pair)
        metered = counts.requests - counts.errors - counts.unmetered
        for outcome, number in (("metered", metered), ("unmetered", counts.unmetered), ("error", counts.errors)):
            if number > 0:
                metrics.usage_requests.labels(*pair, outcome).inc(number)
        for kind, number in (
            ("input", counts.input),
            ("output", counts.output),
            ("cached", counts.cached),
            ("reasoning", counts.reasoning),
        ):
            if number:
                metrics.usage_tokens.labels(*pair, kind).inc(number)
