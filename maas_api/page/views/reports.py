"""Usage as charts with the numbers beside them. The sums and who may read them are the usage room's."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from maas_api.identity.headers import Identity
from maas_api.page import charts
from maas_api.page.charts import Columns
from maas_api.usage.readers import Reader
from maas_api.usage.report import Line, Report
from maas_api.usage.service import UsageService

SPANS: Final = (7, 30, 90)
ROWS_SHOWN: Final = 25
"""Of a breakdown; the file has them all."""
_PARTS: Final = ("input", "output")


class Part(NamedTuple):
    """One line of a breakdown. ``percent``: of the longest one. ``reference``: a key's id, "" for anything else."""

    name: str
    detail: str
    reference: str
    line: Line
    tokens: int
    percent: float


class Breakdown(NamedTuple):
    """The sums by one dimension, the largest first; ``left`` were left out."""

    parts: list[Part]
    left: int


class Shown(NamedTuple):
    """What a page shows of usage."""

    chart: Columns
    days: list[tuple[datetime, Line, int]]
    total: Line
    tokens: int
    priced: bool
    span: int


class Reports:
    """Asks for usage as a visitor. Methods raise ApiError, as the service does."""

    def __init__(self, service: UsageService, now: Callable[[], datetime]) -> None:
        self._service = service
        self._now = now

    def by_day(self, who: Identity, span: int, username: str) -> Shown:
        """The visitor's own days, or others'. ``username``: whose, "" for everyone's."""
        return self._shown(self._service.report(Reader(who), self._asked(span, username, interval="day")), span)

    def of_key(self, who: Identity, key_id: str, span: int = 30) -> Shown:
        """One key's days."""
        parameters: dict[str, Any] = {"from": [self._first(span)], "interval": ["day"]}
        return self._shown(self._service.of_key(Reader(who), key_id, parameters), span)

    def by(self, who: Identity, span: int, username: str, dimension: str) -> Breakdown:
        """The sums of a time by one dimension."""
        asked = self._asked(span, username, interval="total") | {"groupBy": [dimension]}
        report = self._service.report(Reader(who), asked)
        lines = sorted(report.lines, key=_tokens, reverse=True)
        longest = _tokens(lines[0]) if lines else 0
        parts = [self._part(report, dimension, line, longest) for line in lines[:ROWS_SHOWN]]
        return Breakdown(parts, max(0, len(lines) - ROWS_SHOWN))

    def everything(self, who: Identity, span: int, username: str) -> tuple[Report, bool]:
        """All lines by day, model and key, for a file; and whether anything has a price."""
        dimensions = ["model", "key"] if username else ["user", "model", "key"]
        asked = self._asked(span, username, interval="day") | {"groupBy": dimensions}
        return self._service.report(Reader(who), asked), bool(self._service.prices())

    def _asked(self, span: int, username: str, *, interval: str) -> dict[str, list[str]]:
        asked = {"from": [self._first(span)], "interval": [interval]}
        return asked | {"user": [username]} if username else asked

    def _first(self, span: int) -> str:
        return (self._now() - timedelta(days=span - 1)).date().isoformat()

    def _shown(self, report: Report, span: int) -> Shown:
        counts = [(line.start, line.counts.input, line.counts.output) for line in report.lines if line.start]
        days = charts.days_of(report.query.start, report.query.end, counts)
        lines = [(line.start, line, _tokens(line)) for line in reversed(report.lines) if line.start]
        return Shown(
            charts.columns(days, _PARTS),
            lines,
            report.total,
            _tokens(report.total),
            bool(self._service.prices()),
            span,
        )

    def _part(self, report: Report, dimension: str, line: Line, longest: int) -> Part:
        value = line.group[0]
        known = report.names.get(value) if dimension == "key" else None
        name = value or {"key": "without a key"}.get(dimension, "not known")
        if known is not None:
            name = known.name
        tokens = _tokens(line)
        reference = value if dimension == "key" else ""
        return Part(name, known.username if known else "", reference, line, tokens, charts.share(tokens, longest))


def _tokens(line: Line) -> int:
    return line.counts.input + line.counts.output
