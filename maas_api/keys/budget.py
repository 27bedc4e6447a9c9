"""What a key may spend: so many tokens in an hour, a day, a month (each of the calendar, in UTC), or in all. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

PERIODS: Final = ("hour", "day", "month", "total")
BUDGETS_MAX: Final = 4
TOKENS_MAX: Final = 10**15
_TEXT: Final = re.compile(r"([0-9]{1,16}) tokens?(?:/| per )(hour|day|month)|([0-9]{1,16}) tokens?(?: in)?(?:/| )total")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class BudgetError(ValueError):
    """A budget that cannot be. The message completes "budget ..."."""


class Budget(NamedTuple):
    """So many tokens (input and output together) in one period."""

    tokens: int
    per: str

    def __str__(self) -> str:
        return f"{self.tokens} tokens in total" if self.per == "total" else f"{self.tokens} tokens/{self.per}"


Budgets = tuple[Budget, ...]


def window(per: str, moment: datetime) -> tuple[datetime, datetime | None]:
    """The period that ``moment`` lies in: its beginning, and its end (None: it does not end)."""
    if per == "total":
        return _EPOCH, None
    hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if per == "hour":
        return hour, hour + timedelta(hours=1)
    day = hour.replace(hour=0)
    if per == "day":
        return day, day + timedelta(days=1)
    first = day.replace(day=1)
    return first, (first + timedelta(days=32)).replace(day=1)


def from_json(value: Any) -> Budgets:
    """Budgets as a request gives them: one object, or a list of them, one for each period. Raises BudgetError."""
    listed = value if isinstance(value, list) else [value]
    if not listed:
        raise BudgetError("must name at least one; leave it out to have none")
    if len(listed) > BUDGETS_MAX:
        raise BudgetError(f"must be at most {BUDGETS_MAX}, one for each period, got {len(listed)}")
    return _one_each([_one(item) for item in listed])


def from_text(text: str) -> Budgets:
    """Budgets as an option gives them: ``100000 tokens/day, 5000000 tokens total``. Raises BudgetError."""
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _TEXT.fullmatch(part)
        if match is None:
            raise BudgetError(f"must be such as '100000 tokens/day' or '100000 tokens total', got {part[:60]!r}")
        found.append(_one({"tokens": int(match[1] or match[3]), "per": match[2] or "total"}))
    return _one_each(found)


def capped(asked: Budgets, caps: Budgets) -> Budgets:
    """What is asked for together with the caps: of two for one period the smaller one."""
    smallest: dict[str, Budget] = {}
    for budget in (*asked, *caps):
        known = smallest.get(budget.per)
        smallest[budget.per] = budget if known is None or budget.tokens < known.tokens else known
    return tuple(smallest[per] for per in PERIODS if per in smallest)


def exceeds(asked: Budgets, caps: Budgets) -> Budget | None:
    """The cap that is broken by what is asked for, None where none is."""
    allowed = {cap.per: cap for cap in caps}
    return next(
        (allowed[item.per] for item in asked if item.per in allowed and item.tokens > allowed[item.per].tokens), None
    )


def as_json(budgets: Budgets) -> list[dict[str, Any]]:
    """As they are stored and answered."""
    return [{"tokens": budget.tokens, "per": budget.per} for budget in budgets]


def stored(value: Sequence[Any] | None) -> Budgets:
    """From the store's JSON."""
    return tuple(Budget(int(item["tokens"]), str(item["per"])) for item in value or ())


def _one(value: Any) -> Budget:
    if not isinstance(value, dict) or set(value) != {"tokens", "per"}:
        raise BudgetError('must be an object of tokens and per, such as {"tokens": 100000, "per": "day"}')
    tokens, per = value["tokens"], value["per"]
    if isinstance(tokens, bool) or not isinstance(tokens, int) or not 1 <= tokens <= TOKENS_MAX:
        raise BudgetError(f"tokens must be a whole number from 1 to {TOKENS_MAX}")
    if per not in PERIODS:
        raise BudgetError(f"per must be one of {', '.join(PERIODS)}")
    return Budget(tokens, per)


def _one_each(found: Sequence[Budget]) -> Budgets:
    if len({budget.per for budget in found}) != len(found):
        raise BudgetError("must be one for each period")
    return tuple(sorted(found, key=lambda budget: PERIODS.index(budget.per)))
