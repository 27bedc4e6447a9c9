"""What may come of a question about a key's budgets. Pure."""

from __future__ import annotations

from typing import NamedTuple

from maas_api.keys.budget import Budget


class Granted(NamedTuple):
    """The call may pass. ``held``: tokens held for it, ``generation`` when; ``budget``: the tightest one and what is
    left of it after the hold, as far as this worker knows."""

    held: int
    generation: int
    budget: Budget
    left: int
    reset: float | None


class Spent(NamedTuple):
    """The budget is spent. ``reset``: seconds until it begins anew, None: never."""

    budget: Budget
    reset: float | None


class Unknown(NamedTuple):
    """The store could not be asked."""


Decision = Granted | Spent | Unknown
