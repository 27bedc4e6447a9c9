"""Durations as the Go service reads and prints them. Pure; every number is whole nanoseconds.

Source of the grammar: Go's ``time.ParseDuration`` and ``time.Duration.String``, plus a count of days (``30d``), which
is any decimal number that Go's ``strconv.ParseFloat`` reads: ``1e-3d`` and ``1_0d`` too.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal

MICROSECOND = 1_000
MILLISECOND = 1_000_000
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_LARGEST = 2**63 - 1
_UNITS = {
    "ns": 1,
    "us": MICROSECOND,
    "\u00b5s": MICROSECOND,  # micro sign
    "\u03bcs": MICROSECOND,  # Greek letter mu
    "ms": MILLISECOND,
    "s": SECOND,
    "m": MINUTE,
    "h": HOUR,
}
_DECIMAL = r"(?:[0-9](?:_?[0-9])*(?:\.(?:[0-9](?:_?[0-9])*)?)?|\.[0-9](?:_?[0-9])*)(?:[eE][+-]?[0-9](?:_?[0-9])*)?"
_DAYS = re.compile(rf"([+-]?{_DECIMAL})d", re.ASCII)
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)", re.ASCII)
_LONGEST_TEXT = 64  # far above any duration that fits, far below what makes big-number arithmetic slow


def parse(text: str) -> int:
    """Nanoseconds of ``30d``, ``1.5h``, ``2h30m``, ``-10s``, ``0`` or ``""`` (which is 0).

    Raises ValueError, with the rule as its message, for anything else and for what does not fit 63 bits.
    """
    if text == "":
        return 0
    if len(text) > _LONGEST_TEXT:
        raise ValueError(f"must have at most {_LONGEST_TEXT} characters")
    days = _DAYS.fullmatch(text)
    if days:
        return _whole(float(days[1].replace("_", "")) * DAY)
    sign, rest = (-1, text[1:]) if text[0] == "-" else (1, text[1:] if text[0] == "+" else text)
    if rest == "0":
        return 0
    total, position = Decimal(0), 0
    while position < len(rest):
        part = _PART.match(rest, position)
        if part is None:
            break
        total += int(Decimal(part[1]) * _UNITS[part[2]])
        position = part.end()
    if position != len(rest) or not rest:
        raise ValueError("must be a number of days such as 30d, or hours, minutes and seconds such as 1h30m")
    return _fit(sign * int(total))


def from_seconds(number: float) -> int:
    """Nanoseconds of a JSON number of seconds. Raises ValueError for what does not fit."""
    return _whole(number * SECOND)


def _whole(nanoseconds: float) -> int:
    if isinstance(nanoseconds, float) and not math.isfinite(nanoseconds):
        raise ValueError("must be shorter than 292 years")
    return _fit(int(nanoseconds))


def _fit(nanoseconds: int) -> int:
    if abs(nanoseconds) > _LARGEST:
        raise ValueError("must be shorter than 292 years")
    return nanoseconds


def show(nanoseconds: int) -> str:
    """The duration in Go's notation: ``2184h0m0s``, ``1.5s``, ``100ms``, ``0s``."""
    sign, left = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if left == 0:
        return "0s"
    for unit, size in (("ns", 1), ("\u00b5s", MICROSECOND), ("ms", MILLISECOND)):
        if left < size * 1_000:
            return f"{sign}{_decimal(left, size)}{unit}"
    hours, left = divmod(left, HOUR)
    minutes, left = divmod(left, MINUTE)
    seconds = f"{_decimal(left, SECOND)}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{seconds}"
    return f"{sign}{minutes}m{seconds}" if minutes else f"{sign}{seconds}"


def _decimal(number: int, size: int) -> str:
    whole, fraction = divmod(number, size)
    if not fraction:
        return str(whole)
    return f"{whole}.{str(fraction).rjust(len(str(size)) - 1, '0').rstrip('0')}"
