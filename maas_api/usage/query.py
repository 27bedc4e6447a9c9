"""What may be asked of usage, and how it is written in a URL. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from maas_api.parameters import QueryError, moment

DIMENSIONS: Final = ("key", "user", "subscription", "model", "provider", "endpoint")
INTERVALS: Final = ("hour", "day", "month", "total")
SCOPES: Final = ("key", "user", "tenant")
DEFAULT_DAYS: Final = 30
LONGEST: Final = {"hour": timedelta(days=31), "day": timedelta(days=400), "month": timedelta(days=3700)}
LONGEST_TOTAL: Final = timedelta(days=3700)
VALUES_MAX: Final = 100

_PARAMETERS = ("from", "to", "interval", "groupBy", "scope", *DIMENSIONS)


class Query(NamedTuple):
    """Sums of the hours from ``start`` (inclusive) to ``end`` (exclusive), by interval and by dimensions. ``only``:
    dimension -> the values that count. ``scope``: whose calls the caller asks for, empty for what is usual for them."""

    start: datetime
    end: datetime
    interval: str = "day"
    group_by: tuple[str, ...] = ()
    only: Mapping[str, tuple[str, ...]] = {}
    scope: str = ""


def parse(parameters: Mapping[str, Sequence[str]], now: datetime) -> Query:
    """The query in a URL's parameters: name -> its values in order. Raises QueryError.

    Sums are by the hour, so ``from`` is taken down and ``to`` up to a whole one. Without them: the last thirty days.
    A parameter of one value must not be given twice, ``groupBy`` and filters may be, or be separated by commas.
    """
    for name in parameters:
        if name not in _PARAMETERS:
            raise QueryError(f"{name[:60]}: there is no such parameter; there are {', '.join(_PARAMETERS)}")
    end = moment("to", _one(parameters, "to"))
    end = now if end is None else end
    end = _hour(end + timedelta(hours=1) - timedelta(microseconds=1))
    start = moment("from", _one(parameters, "from"))
    start = _hour(end - timedelta(days=DEFAULT_DAYS) if start is None else start)
    interval = _one(parameters, "interval")
    interval = "day" if interval is None else interval
    if interval not in INTERVALS:
        raise QueryError(f"interval: must be one of {', '.join(INTERVALS)}, got {interval[:60]!r}")
    if start >= end:
        raise QueryError(f"from: must be before to, got {_shown(start)} and {_shown(end)}")
    longest = LONGEST.get(interval, LONGEST_TOTAL)
    if end - start > longest:
        raise QueryError(f"from: by {interval} at most {longest.days} days can be asked for, got {(end - start).days}")
    group_by = tuple(dict.fromkeys(_several(parameters, "groupBy")))
    for name in group_by:
        if name not in DIMENSIONS:
            raise QueryError(f"groupBy: must be of {', '.join(DIMENSIONS)}, got {name[:60]!r}")
    scope = _one(parameters, "scope")
    if scope not in (None, *SCOPES):
        raise QueryError(f"scope: must be one of {', '.join(SCOPES)}, got {scope[:60]!r}")
    only = {name: _values(parameters, name) for name in DIMENSIONS if name in parameters}
    return Query(start, end, interval, group_by, only, scope or "")


def _values(parameters: Mapping[str, Sequence[str]], name: str) -> tuple[str, ...]:
    """A filter's values. A comma separates nothing here: names may hold one."""
    values = tuple(dict.fromkeys(parameters[name]))
    if len(parameters[name]) > VALUES_MAX:
        raise QueryError(f"{name}: at most {VALUES_MAX} values can be asked for, got {len(parameters[name])}")
    if any("\0" in value for value in values):
        raise QueryError(f"{name}: must not contain U+0000")
    return values


def _several(parameters: Mapping[str, Sequence[str]], name: str) -> list[str]:
    return [part.strip() for line in parameters.get(name, ()) for part in line.split(",") if part.strip()]


def _one(parameters: Mapping[str, Sequence[str]], name: str) -> str | None:
    values = parameters.get(name, ())
    if len(values) > 1:
        raise QueryError(f"{name}: must be given once, got {len(values)} values")
    return values[0].strip() if values else None


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _shown(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
