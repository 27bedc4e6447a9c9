"""The mark of a key that is limited, in a column which the Go service keeps: so a limit that is lost denies. Pure.

What limits a key, and with which key it ends, lies in tables of our own. A restore of ``api_keys`` alone, or a hand
that deletes rows, must not turn a limited key into one that opens everything, so its labels name the limits that it
has. Clients of this service are not shown the mark, and no client of either service can set it: a label's name has no
colon.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

LABEL: Final = "maas-api:limits"
MODELS: Final = "models"
BUDGET: Final = "budget"
PARENT: Final = "parent"
IMPORTED: Final = "imported"
"""Of another gateway's key: nothing but its end may change. The mark itself says so, so it cannot be lost."""


def of(mark: str | None) -> tuple[str, ...]:
    """The limits that a mark names."""
    return tuple(filter(None, (mark or "").split(",")))


def marked(labels: Mapping[str, str], limits: Collection[str]) -> dict[str, str]:
    """A key's labels as they are stored."""
    return {**visible(labels), **({LABEL: ",".join(sorted(limits))} if limits else {})}


def visible(labels: Mapping[str, str] | None) -> dict[str, str]:
    """A key's labels as they are shown."""
    return {name: value for name, value in (labels or {}).items() if name != LABEL}


def lost(mark: str | None, found: Collection[str]) -> tuple[str, ...]:
    """What a key was limited by and is not any more; that of a newer version too, which this one cannot look for."""
    return tuple(limit for limit in of(mark) if limit not in found and limit != IMPORTED)
