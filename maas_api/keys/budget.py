"""What a key may spend: tokens or money, in an hour, a day, a month (of the calendar, in UTC), or in all. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

PERIODS: Final = ("hour", "day", "month", "total")
TOKENS_MAX: Final = 10**15
COST_MAX: Final = 10**9
PARTS: Final = 10**9
"""Money is kept as whole billionths of its currency: a token of the cheapest models costs about a hundred of them."""

_TOKENS: Final = re.compile(r"([0-9]{1,16}) tokens?")
_COST: Final = re.compile(r"([0-9]{1,10}(?:\.[0-9]{1,9})?) ([A-Z]{3})")
_PERIOD: Final = re.compile(r"(.*?)(?:(?:/| per )(hour|day|month)|(?: in)?(?:/| )total)")
_AMOUNT: Final = re.compile(r"[0-9]{1,10}(\.[0-9]{1,9})?")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_WINDOW: Final = re.compile(r"([1-9][0-9]{0,3})([smh])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class BudgetError(ValueError):
    """A budget that cannot be. The message completes "budget ..."."""


class Budget(NamedTuple):
    """So much in one period: tokens (input and output together) where ``currency`` is empty, else billionths of it.

    ``per`` is one of :data:`PERIODS`, or the window of a subscription's limit (``24h``), which is counted from 1970 on.
    """

    amount: int
    per: str
    currency: str = ""

    def __str__(self) -> str:
        what = f"{money(self.amount)} {self.currency}" if self.currency else f"{self.amount} tokens"
        return f"{what} in total" if self.per == "total" else f"{what}/{self.per}"

    @property
    def account(self) -> str:
        """What tells it from a holder's other budgets."""
        return f"{self.per}/{self.currency}" if self.currency else self.per


Budgets = tuple[Budget, ...]


def money(parts: int) -> str:
    """Billionths as an amount, exact."""
    text = f"{Decimal(parts) / PARTS:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def currency_of(account: str) -> str:
    """The currency of :attr:`Budget.account`, empty for tokens."""
    return account.partition("/")[2]


def window(per: str, moment: datetime) -> tuple[datetime, datetime | None]:
    """The period that ``moment`` lies in: its beginning, and its end (None: it does not end). ``per`` may be an
    :attr:`Budget.account`."""
    per = per.partition("/")[0]
    if per == "total":
        return _EPOCH, None
    if (seconds := seconds_of(per)) is not None:
        begins = datetime.fromtimestamp(moment.timestamp() // seconds * seconds, UTC)
        return begins, begins + timedelta(seconds=seconds)
    hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if per == "hour":
        return hour, hour + timedelta(hours=1)
    day = hour.replace(hour=0)
    if per == "day":
        return day, day + timedelta(days=1)
    first = day.replace(day=1)
    return first, (first + timedelta(days=32)).replace(day=1)


def seconds_of(text: str) -> int | None:
    """The length of a subscription's window (``90m``); None for what is none."""
    found = _WINDOW.fullmatch(text)
    return None if found is None else int(found[1]) * _SECONDS[found[2]]


def from_json(value: Any) -> Budgets:
    """Budgets as a request gives them: one object, or a list of them, one for each period and kind. Raises
    BudgetError."""
    listed = value if isinstance(value, list) else [value]
    if not listed:
        raise BudgetError("must name at least one; leave it out to have none")
    if len(listed) > 2 * len(PERIODS):
        raise BudgetError(f"must be at most {2 * len(PERIODS)}, one for each period and kind, got {len(listed)}")
    return _one_each([_one(item) for item in listed])


def from_text(text: str) -> Budgets:
    """Budgets as an option gives them: ``100000 tokens/day, 25.50 USD/month, 90 USD total``. Raises BudgetError."""
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _PERIOD.fullmatch(part)
        tokens, cost = (pattern.fullmatch(match[1]) if match else None for pattern in (_TOKENS, _COST))
        if match is None or not (tokens or cost):
            raise BudgetError(
                f"must be such as '100000 tokens/day', '25.50 USD/month' or '100000 tokens total', got {part[:60]!r}"
            )
        what = {"tokens": int(tokens[1])} if tokens else {"cost": cost[1], "currency": cost[2]} if cost else {}
        found.append(_one({**what, "per": match[2] or "total"}))
    return _one_each(found)


def capped(asked: Budgets, caps: Budgets) -> Budgets:
    """What is asked for together with the caps: of two of one kind for one period the smaller one."""
    smallest: dict[str, Budget] = {}
    for budget in (*asked, *caps):
        known = smallest.get(budget.account)
        smallest[budget.account] = budget if known is None or budget.amount < known.amount else known
    return _ordered(smallest.values())


def exceeds(asked: Budgets, caps: Budgets) -> Budget | None:
    """The cap that is broken by what is asked for, None where none is."""
    allowed = {cap.account: cap for cap in caps}
    return next(
        (
            allowed[item.account]
            for item in asked
            if item.account in allowed and item.amount > allowed[item.account].amount
        ),
        None,
    )


def currencies(budgets: Iterable[Budget]) -> tuple[str, ...]:
    """The currencies among these, in order."""
    return tuple(sorted({budget.currency for budget in budgets} - {""}))


def as_json(budgets: Budgets) -> list[dict[str, Any]]:
    """As they are stored and answered."""
    return [
        {"cost": money(budget.amount), "currency": budget.currency, "per": budget.per}
        if budget.currency
        else {"tokens": budget.amount, "per": budget.per}
        for budget in budgets
    ]


def stored(value: Sequence[Any] | None) -> Budgets:
    """From the store's JSON."""
    return tuple(
        Budget(_parts(item["cost"]), str(item["per"]), str(item["currency"]))
        if "cost" in item
        else Budget(int(item["tokens"]), str(item["per"]))
        for item in value or ()
    )


def _one(value: Any) -> Budget:
    fields = set(value) if isinstance(value, dict) else set()
    if fields not in ({"tokens", "per"}, {"cost", "currency", "per"}):
        raise BudgetError(
            'must be an object of tokens and per, such as {"tokens": 100000, "per": "day"}, '
            'or of cost, currency and per, such as {"cost": "25.50", "currency": "USD", "per": "month"}'
        )
    per = value["per"]
    if not isinstance(per, str) or per not in PERIODS:
        raise BudgetError(f"per must be one of {', '.join(PERIODS)}")
    if "cost" in fields:
        return Budget(_cost(value["cost"]), per, _currency(value["currency"]))
    tokens = value["tokens"]
    if isinstance(tokens, bool) or not isinstance(tokens, int) or not 1 <= tokens <= TOKENS_MAX:
        raise BudgetError(f"tokens must be a whole number from 1 to {TOKENS_MAX}")
    return Budget(tokens, per)


def _cost(value: Any) -> int:
    """Billionths of an amount, as text (exact) or as a number (rounded up to one of them)."""
    parts = 0
    if isinstance(value, str) and _AMOUNT.fullmatch(value):
        parts = _parts(value)
    elif isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= COST_MAX:
        parts = math.ceil(Decimal(str(value)) * PARTS)
    if not 1 <= parts <= COST_MAX * PARTS:
        raise BudgetError(
            f"cost must be an amount such as 25.50, above 0, up to {COST_MAX}, with at most nine decimals"
        )
    return parts


def _currency(value: Any) -> str:
    if not isinstance(value, str) or not _CURRENCY.fullmatch(value):
        raise BudgetError("currency must be three capital letters, such as USD")
    return value


def _parts(text: str) -> int:
    return int(Decimal(text) * PARTS)


def _one_each(found: Sequence[Budget]) -> Budgets:
    if len({budget.account for budget in found}) != len(found):
        raise BudgetError("must be one for each period and kind")
    if len(used := currencies(found)) > 1:
        raise BudgetError(f"must be in one currency, got {' and '.join(used)}")
    return _ordered(found)


def _ordered(found: Iterable[Budget]) -> Budgets:
    return tuple(sorted(found, key=lambda budget: (PERIODS.index(budget.per), budget.currency)))
