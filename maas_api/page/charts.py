"""Charts as geometry: where each bar stands and how long it is. The templates draw them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

WIDTH: Final = 720
HEIGHT: Final = 160
"""Of the drawing, in its own units: it is scaled to the page."""
_GAP: Final = 0.25  # of a bar's place
_MANTISSAS: Final = (1, 2, 2.5, 5, 10)
_SHORT: Final = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k"))


class Bar(NamedTuple):
    """A column of two parts, the lower one first. All numbers are units of the drawing."""

    x: float
    width: float
    lower_y: float
    lower_height: float
    upper_y: float
    upper_height: float
    label: str


class Tick(NamedTuple):
    """A line of the grid."""

    y: float
    label: str


class Columns(NamedTuple):
    """Columns over days."""

    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    first: str
    last: str


class Day(NamedTuple):
    """What a column stands for."""

    day: date
    lower: int
    upper: int


def days_of(start: datetime, end: datetime, counts: Sequence[tuple[datetime, int, int]]) -> list[Day]:
    """Every day of a time, also those on which nothing was. ``counts``: (moment, lower, upper)."""
    found = {moment.date(): (lower, upper) for moment, lower, upper in counts}
    last = (end - timedelta(microseconds=1)).date()
    number = (last - start.date()).days + 1
    days = [start.date() + timedelta(days=at) for at in range(number)]
    return [Day(day, *found.get(day, (0, 0))) for day in days]


def columns(days: Sequence[Day], labels: tuple[str, str]) -> Columns:
    """A chart of days; ``labels`` name the two parts."""
    top = nice(max((day.lower + day.upper for day in days), default=0))
    place = WIDTH / max(1, len(days))
    bars = []
    for at, day in enumerate(days):
        lower, upper = (round(HEIGHT * part / top, 2) for part in (day.lower, day.upper))
        label = f"{day.day}: {day.lower + day.upper:,} ({day.lower:,} {labels[0]}, {day.upper:,} {labels[1]})"
        bars.append(
            Bar(
                round(at * place + place * _GAP / 2, 2),
                round(place * (1 - _GAP), 2),
                round(HEIGHT - lower, 2),
                lower,
                round(HEIGHT - lower - upper, 2),
                upper,
                label,
            )
        )
    ticks = tuple(Tick(round(HEIGHT * (1 - part), 2), short(round(top * part))) for part in (0, 0.5, 1))
    ends = (str(days[0].day), str(days[-1].day)) if days else ("", "")
    return Columns(tuple(bars), ticks, *ends)


def nice(value: int) -> int:
    """The next round number that is not below ``value``, and can be halved; 10 at the least."""
    size = 10
    while size * 10 < value:
        size *= 10
    return next((int(size * part) for part in _MANTISSAS if size * part >= value), size * 10)


def share(part: int | Decimal, whole: int | Decimal) -> float:
    """Percent of a whole, from 0 to 100, with one decimal."""
    return round(min(100.0, max(0.0, float(100 * part / whole))), 1) if whole > 0 else 0.0


def short(value: int) -> str:
    """A number in few characters: ``1.2k``, ``34M``."""
    for size, letter in _SHORT:
        if value >= size:
            shown = f"{value / size:.1f}" if value < 100 * size else f"{value / size:.0f}"
            return shown.removesuffix(".0") + letter
    return str(value)
