"""What may come of a question about the budgets that a call counts against. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from maas_api.keys.budget import Budget
from maas_api.usage.record import Hold


class Left(NamedTuple):
    """What is left of a budget after the call's hold, as far as this worker knows. ``reset``: seconds until it begins
    anew, None: never."""

    budget: Budget
    left: int
    reset: float | None


@dataclass(slots=True)
class Granted:
    """The call may pass. ``hold``: what is held for it, None where no budget counts it; ``tokens`` and ``cost``: the
    tightest budget of each kind. ``shown``: what whoever shows this made of it, for calls that are granted the same."""

    hold: Hold | None
    tokens: Left | None = None
    cost: Left | None = None
    shown: Any = field(default=None, compare=False)


class Spent(NamedTuple):
    """The budget is spent. ``reset``: seconds until it begins anew, None: never. ``subscription``: whose limit it is,
    empty for the key's own budget."""

    budget: Budget
    reset: float | None
    subscription: str = ""


class Unpriced(NamedTuple):
    """The model has no price in the currency of the key's budgets: what its calls cost could not be counted."""

    model: str
    currency: str


class Unknown(NamedTuple):
    """The store could not be asked."""


Decision = Granted | Spent | Unpriced | Unknown
