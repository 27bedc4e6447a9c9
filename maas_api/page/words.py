"""Times, spans and amounts as the page writes them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

_STEPS: Final = ((timedelta(days=365), "year"), (timedelta(days=30), "month"), (timedelta(days=1), "day"))
_SMALL: Final = ((timedelta(hours=1), "hour"), (timedelta(minutes=1), "minute"))


def moment(value: datetime) -> str:
    """``2026-03-15 12:00 UTC``."""
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def iso(value: datetime) -> str:
    """For a machine."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def distance(value: datetime, now: datetime) -> str:
    """``in 3 days``, ``5 minutes ago``, ``just now``."""
    span = abs(value - now)
    for size, word in (*_STEPS, *_SMALL):
        if span >= size:
            count = span // size
            text = f"{count} {word}{'' if count == 1 else 's'}"
            return f"in {text}" if value > now else f"{text} ago"
    return "in a moment" if value > now else "just now"


def money(amounts: Mapping[str, Decimal]) -> str:
    """Amounts by currency, to the hundredth, those below one to four digits; "" for none."""
    return " + ".join(f"{_amount(amount)} {currency}" for currency, amount in sorted(amounts.items()))


def _amount(value: Decimal) -> str:
    if value == 0 or value >= 1:
        return f"{value:,.2f}"
    return f"{value:.4f}" if value >= Decimal("0.0001") else "<0.0001"


def price(value: Decimal) -> str:
    """A price, exact, with two decimals at the least."""
    text = f"{value.normalize():f}"
    _, _, decimals = text.partition(".")
    return text if len(decimals) >= 2 else f"{value:.2f}"
