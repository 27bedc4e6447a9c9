"""What a call must find left before it passes, and how much of it is held for the call. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from maas_api.keys.budget import PARTS, Budget, Budgets, seconds_of
from maas_api.models.price import Price
from maas_api.subscriptions.model import TokenRateLimit
from maas_api.usage.budgets.decisions import Unpriced
from maas_api.usage.prices import PER
from maas_api.usage.record import holder

SHORTEST_SECONDS: Final = 3600
"""Subscriptions' limits of shorter windows are the gateway's own."""


@dataclass(frozen=True, eq=False, slots=True)
class Payer:
    """Who pays for a call. ``key_id`` and ``budgets`` are empty for a platform user. ``limits``: what the subscription
    allows each of its users of ``reference``, the MaaSModelRef that stands for the model.

    Looked up at every call, so it is told from others by being the same object: a hash of all this would cost most.
    """

    key_id: str
    budgets: Budgets
    user: str
    subscription: str
    model: str
    limits: tuple[TokenRateLimit, ...] = ()
    reference: str = ""


class Claim(NamedTuple):
    """One budget of ``holder``, and what is held of it for a call."""

    holder: str
    budget: Budget
    hold: int


def claims(payer: Payer, hold: int, price: Callable[[str], Price | None]) -> tuple[Claim, ...] | Unpriced:
    """What a call of ``payer``'s claims. ``hold``: tokens held for a call; ``price``: a model's price now.

    Of money is held what that many tokens cost at the dearest rate of the model; of a model that costs nothing,
    nothing. Where a subscription has two limits of one window, the smaller one counts.
    """
    found = [Claim(payer.key_id, budget, hold) for budget in payer.budgets if not budget.currency]
    for budget in payer.budgets:
        if not budget.currency:
            continue
        known = price(payer.model)
        if known is None or known.currency != budget.currency:
            return Unpriced(payer.model, budget.currency)
        if parts := dearest(known, hold):
            found.append(Claim(payer.key_id, budget, parts))
    limited = holder(payer.user, payer.subscription, payer.reference) if payer.limits else ""
    found += [Claim(limited, budget, hold) for budget in long_limits(payer.limits)]
    return tuple(found)


def long_limits(limits: Iterable[TokenRateLimit]) -> Budgets:
    """Those of an hour and more, one for each window."""
    smallest: dict[str, int] = {}
    for limit in limits:
        if (seconds_of(limit.window) or 0) >= SHORTEST_SECONDS:
            smallest[limit.window] = min(limit.limit, smallest.get(limit.window, limit.limit))
    return tuple(Budget(amount, window) for window, amount in smallest.items())


def dearest(price: Price, tokens: int) -> int:
    """What so many tokens can cost at the most, in billionths of the currency, rounded up."""
    rate = max(price.input, price.output, price.cached, price.written)
    return math.ceil(rate * tokens * PARTS / PER)
