"""What a model's tokens cost from some day on. Pure."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import NamedTuple


class Price(NamedTuple):
    """Prices per million tokens, from the beginning of a day (UTC) on. ``cached`` and ``written`` are of input tokens
    read from and written to the provider's cache."""

    input: Decimal
    output: Decimal
    cached: Decimal
    written: Decimal
    currency: str
    valid_from: date
