"""The parameters in a URL of what may be asked of usage and of the audit: read strictly, in one way. Pure."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime


class QueryError(ValueError):
    """A question that cannot be answered. The message names the parameter, the rule and what was received."""


def moment(name: str, text: str | None) -> datetime | None:
    """A day (its beginning in UTC) or a time with an offset, in UTC; None where nothing is given. Raises QueryError,
    also for an empty text: a script's variable that is not set would ask for something else than was meant."""
    if text is None:
        return None
    text = text.strip()
    with suppress(ValueError, OverflowError):
        found = datetime.fromisoformat(text.replace(" ", "+"))  # a plus sign that was not escaped in the URL
        found = found.replace(tzinfo=UTC) if found.tzinfo is None and "T" not in text else found
        if found.tzinfo is not None and 2000 <= found.year < 9000:
            return found.astimezone(UTC)
    raise QueryError(
        f"{name}: must be a day (2026-03-15) or a time with an offset (2026-03-15T12:00:00Z), got {text[:60]!r}"
    )
