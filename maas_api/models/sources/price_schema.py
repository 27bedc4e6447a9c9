"""Prices as they are written: in a registry entry, or in a file of prices. Pure.

The messages are rules: they complete the sentence "<field> ...".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from marshmallow import Schema, ValidationError, fields

from maas_api.models.price import Price

ALWAYS: Final = date(1970, 1, 1)
PRICES_MAX: Final = 100


class Amount(fields.Field[Decimal]):
    """An amount of money, as a number or as text."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> Decimal:
        text = str(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else ""
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
            raise ValidationError("must be an amount for a million tokens, such as 2.50, with at most nine decimals")
        return Decimal(text)


class Currency(fields.Field[str]):
    """A code of ISO 4217."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(r"[A-Z]{3}", value):
            raise ValidationError("must be a currency's three capital letters, such as USD")
        return value


class Day(fields.Field[date]):
    """A day."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> date:
        if isinstance(value, date) and not isinstance(value, datetime):
            return value
        if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
            try:
                return date.fromisoformat(value)
            except ValueError:
                pass
        raise ValidationError("must be a day such as 2026-01-01")


class PriceSchema(Schema):
    """One price."""

    class Meta:
        """Options."""

        unknown = "raise"

    error_messages = {  # noqa: RUF012 -- marshmallow reads it from the class
        "unknown": "is not a field of a price",
        "type": "must be a mapping with at least input, output and currency",
    }

    input = Amount(required=True)
    output = Amount(required=True)
    cached_input = Amount(data_key="cachedInput")
    cache_write = Amount(data_key="cacheWrite")
    currency = Currency(required=True)
    valid_from = Day(data_key="validFrom")


def price(loaded: Mapping[str, Any]) -> Price:
    """The price of a loaded mapping. What the cache's tokens cost is what other input does, unless it is said."""
    given = loaded["input"]
    return Price(
        given,
        loaded["output"],
        loaded.get("cached_input", given),
        loaded.get("cache_write", given),
        loaded["currency"],
        loaded.get("valid_from", ALWAYS),
    )
