"""Sums as they are answered: rows of the store priced and folded to what was asked for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from maas_api.usage.prices import NOTHING, Cost, PriceBook, together
from maas_api.usage.query import Query
from maas_api.usage.record import Counts


class Sum(NamedTuple):
    """Counts of one place: the beginning of its interval (None: all of the time asked for) and the dimension values."""

    start: datetime | None
    group: Mapping[str, str]
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

    Prices begin with a day, so within one of these rows there is one price.
    """
    interval = query.interval if query.interval == "hour" else "day"
    return query._replace(interval=interval, group_by=tuple(dict.fromkeys((*query.group_by, "model"))))


def fold(query: Query, rows: Iterable[Sum], book: PriceBook) -> tuple[tuple[Line, ...], Line]:
    """The lines of a query and their total. ``rows`` are by at least what the query is by."""
    found: dict[tuple[datetime | None, tuple[str, ...]], Line] = {}
    for row in rows:
        cost = book.cost(row.group["model"], row.start, row.counts.tokens) if book and row.start else NOTHING
        start = _beginning(query.interval, row.start)
        group = tuple(row.group[name] for name in query.group_by)
        known = found.get((start, group))
        line = Line(start, group, row.counts, cost)
        found[(start, group)] = line if known is None else _plus(known, line)
    lines = tuple(found[place] for place in sorted(found, key=_order))
    counts = Counts._make(map(sum, zip(*(line.counts for line in lines), strict=True))) if lines else Counts()
    return lines, Line(None, (), counts, together(line.cost for line in lines))


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


def _order(place: tuple[datetime | None, tuple[str, ...]]) -> tuple[float, tuple[str, ...]]:
    start, group = place
    return (0.0 if start is None else start.timestamp(), group)
