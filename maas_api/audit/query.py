"""What may be asked of the audit, and how it is written in a URL. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, NamedTuple

from maas_api.audit.origin import KINDS
from maas_api.audit.record import ACTIONS, OUTCOMES
from maas_api.parameters import QueryError, moment

FILTERS: Final = ("action", "outcome", "actor", "via", "viaKey", "owner", "key", "requestId")
"""What records can be found by."""
CHOICES: Final = {"action": ACTIONS, "outcome": OUTCOMES, "via": KINDS}
DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 1_000

_PARAMETERS: Final = ("from", "to", *FILTERS, "limit", "after")


class Query(NamedTuple):
    """Records from ``start`` (inclusive) to ``end`` (exclusive), newest first.

    ``only``: filter -> its value. ``after``: the last record of the page before.
    """

    start: datetime | None = None
    end: datetime | None = None
    only: Mapping[str, str] = {}
    limit: int = DEFAULT_LIMIT
    after: tuple[datetime, str] | None = None


def parse(parameters: Mapping[str, Sequence[str]]) -> Query:
    """The query in a URL's parameters: name -> its values. Each is given once. Raises QueryError."""
    given: dict[str, str] = {}
    for name, values in parameters.items():
        if name not in _PARAMETERS:
            raise QueryError(f"{name[:60]}: there is no such parameter; there are {', '.join(_PARAMETERS)}")
        if len(values) > 1:
            raise QueryError(f"{name}: must be given once, got {len(values)} values")
        if "\0" in values[0]:
            raise QueryError(f"{name}: must not contain U+0000")
        given[name] = values[0]
    for name, known in CHOICES.items():
        if given.get(name, known[0]) not in known:
            raise QueryError(f"{name}: must be one of {', '.join(known)}, got {given[name][:60]!r}")
    start, end = moment("from", given.get("from")), moment("to", given.get("to"))
    if start is not None and end is not None and start >= end:
        raise QueryError("from: must be before to")
    return Query(
        start,
        end,
        {name: given[name] for name in FILTERS if name in given},
        _limit(given.get("limit", str(DEFAULT_LIMIT))),
        _place(given["after"]) if "after" in given else None,
    )


def place(at: datetime, record_id: str) -> str:
    """A record's place in the order, for ``after``."""
    return base64.urlsafe_b64encode(f"{at.astimezone(UTC).isoformat()} {record_id}".encode()).decode().rstrip("=")


def _place(text: str) -> tuple[datetime, str]:
    with suppress(ValueError, binascii.Error, OverflowError):
        at, _, record_id = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().partition(" ")
        found = datetime.fromisoformat(at)
        if found.tzinfo is not None and record_id and "\0" not in record_id:
            return found.astimezone(UTC), record_id
    raise QueryError("after: must be the next of the page before")


def _limit(text: str) -> int:
    if text.isascii() and text.isdecimal() and 1 <= int(text[:6]) <= MAX_LIMIT and len(text) <= 4:
        return int(text)
    raise QueryError(f"limit: must be a whole number from 1 to {MAX_LIMIT}, got {text[:60]!r}")
