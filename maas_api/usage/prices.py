"""What tokens cost: prices with a day from which they hold, and the cost of counts. Pure, exact: decimals only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, NamedTuple

from maas_api.models.price import Price
from maas_api.usage.dialects import Tokens

PER: Final = 1_000_000
"""Prices are for so many tokens."""


def amount(price: Price, tokens: Tokens) -> Decimal:
    """What these tokens cost at this price."""
    plain = tokens.input - tokens.cached - tokens.written
    return (
        plain * price.input
        + tokens.cached * price.cached
        + tokens.written * price.written
        + tokens.output * price.output
    ) / PER


class Cost(NamedTuple):
    """Money by currency, and tokens that no price was known for. Those are not free: they are said beside it."""

    amounts: Mapping[str, Decimal]
    unpriced: int

    def plus(self, other: Cost) -> Cost:
        """Both together."""
        return together((self, other))


def together(costs: Iterable[Cost]) -> Cost:
    """All of them in one."""
    amounts: dict[str, Decimal] = {}
    unpriced = 0
    for cost in costs:
        unpriced += cost.unpriced
        for currency, amount in cost.amounts.items():
            amounts[currency] = amounts.get(currency, Decimal(0)) + amount
    return Cost(amounts, unpriced)


NOTHING: Final = Cost({}, 0)


class PriceBook:
    """Prices of models. A model's newest price that has begun counts; before its first one there is none."""

    def __init__(self, prices: Mapping[str, Iterable[Price]]) -> None:
        self._prices = {
            model: tuple(sorted(listed, key=lambda price: price.valid_from, reverse=True))
            for model, listed in prices.items()
        }

    def __bool__(self) -> bool:
        return bool(self._prices)

    def at(self, model: str, moment: datetime) -> Price | None:
        """The price of a model at a moment."""
        day = moment.astimezone(UTC).date()
        return next((price for price in self._prices.get(model, ()) if price.valid_from <= day), None)

    def cost(self, model: str, moment: datetime, tokens: Tokens) -> Cost:
        """What these tokens of one model cost on the day of ``moment``."""
        if not tokens.total:
            return NOTHING
        price = self.at(model, moment)
        return Cost({}, tokens.total) if price is None else Cost({price.currency: amount(price, tokens)}, 0)


NO_PRICES: Final = PriceBook({})


def shown(value: Decimal) -> str:
    """An amount as text: exact, without an exponent and without idle zeros."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
