"""Sums as they are answered: rows of the store priced and folded to what was asked for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from maas_api.usage.prices import NOTHING, Cost, PriceBook, together
from maas_api.usage.query import Query
from maas_api.usage.record import Counts


class Sum(NamedTuple):
    """Counts of one place: the beginning of its interval (None: all of the time asked for) and the values of the
    dimensions that its query is by, in their order."""

    start: datetime | None
    group: tuple[str, ...]
    counts: Counts


class Line(NamedTuple):
    """One line of an answer. ``group``: the dimensions asked for, in their order."""

    start: datetime | None
    group: tuple[str, ...]
    counts: Counts
    cost: Cost


class KeyName(NamedTuple):
    """What a key is or was called."""

    name: str
    username: str
    subscription: str
    labels: Mapping[str, str]


class Report(NamedTuple):
    """An answer: its query, its lines in order, their total, and the names of the keys in it by id."""

    query: Query
    lines: tuple[Line, ...]
    total: Line
    names: Mapping[str, KeyName]


def priced_by(query: Query) -> Query:
    """The query as the store must be asked so that its rows can be priced: by model, and by day at the least.

    Prices begin with a day, so within one of these rows there is one price. What the query itself is by comes first.
    """
    interval = query.interval if query.interval == "hour" else "day"
    return query._replace(interval=interval, group_by=tuple(dict.fromkeys((*query.group_by, "model"))))


def fold(query: Query, rows: Iterable[Sum], book: PriceBook) -> tuple[tuple[Line, ...], Line]:
    """The lines of a query and their total. ``rows``: of the query, or where there are prices of :func:`priced_by`."""
    found = _priced(query, rows, book) if book else [Line(*row, NOTHING) for row in rows]
    lines = tuple(sorted(found))  # no two are of one interval and group: nothing further is compared
    counts = Counts._make(map(sum, zip(*(line.counts for line in lines), strict=True))) if lines else Counts()
    return lines, Line(None, (), counts, together(line.cost for line in lines))


def _priced(query: Query, rows: Iterable[Sum], book: PriceBook) -> Iterable[Line]:
    dimensions, model = len(query.group_by), priced_by(query).group_by.index("model")
    found: dict[tuple[datetime | None, tuple[str, ...]], Line] = {}
    for row in rows:
        cost = book.cost(row.group[model], row.start, row.counts.tokens) if row.start else NOTHING
        place = _beginning(query.interval, row.start), row.group[:dimensions]
        known = found.get(place)
        line = Line(*place, row.counts, cost)
        found[place] = line if known is None else _plus(known, line)
    return found.values()


def as_fields(line: Line, *, priced: bool) -> dict[str, Any]:
    """A line's numbers under their names on the wire; averages only where there is something to average."""
    counts = line.counts
    fields: dict[str, Any] = {
        "requests": counts.requests,
        "errors": counts.errors,
        "interrupted": counts.interrupted,
        "unmetered": counts.unmetered,
        "inputTokens": counts.input,
        "cachedInputTokens": counts.cached,
        "cacheWriteTokens": counts.written,
        "outputTokens": counts.output,
        "reasoningTokens": counts.reasoning,
        "totalTokens": counts.input + counts.output,
        "averageDurationMs": round(counts.duration_ms / counts.requests) if counts.requests else None,
        "averageFirstEventMs": round(counts.first_event_ms / counts.first_events) if counts.first_events else None,
    }
    if priced:
        fields["unpricedTokens"] = line.cost.unpriced
    return fields


def _plus(one: Line, other: Line) -> Line:
    return one._replace(counts=one.counts + other.counts, cost=one.cost.plus(other.cost))


def _beginning(interval: str, start: datetime | None) -> datetime | None:
    if interval == "total" or start is None:
        return None
    return start.replace(day=1, hour=0) if interval == "month" else start
