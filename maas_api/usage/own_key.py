"""``GET /v1/key``: what the key that asks is, may do, has used and has left. OpenRouter's names where they fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

from maas_api import errors
from maas_api.errors import ApiError
from maas_api.keys.budget import Budget, as_json, currencies, money, window
from maas_api.keys.record import KeyRecord
from maas_api.usage.query import Query
from maas_api.usage.readers import PREFIX, Presented, UncheckedError
from maas_api.usage.report import Line
from maas_api.usage.service import UsageService, store_fault_is
from maas_api.usage.statements.holds import State

_LONG_AGO: Final = 2000
_RESETS: Final = {"hour": "hourly", "day": "daily", "month": "monthly", "total": None}


class _Standing(NamedTuple):
    """Where a budget stands: what is left of it, and how it is answered."""

    budget: Budget
    left: int
    shown: dict[str, Any]


class OwnKey:
    """Answers for the key that is presented, and for no other. Methods raise ApiError in the SDKs' shape."""

    def __init__(
        self,
        presented: Presented,
        record: Callable[[str], KeyRecord | None],
        usage: UsageService,
        state: Callable[[str, Budget, datetime], State],
    ) -> None:
        """``state``: (key id, budget, now) -> where that budget stands. Raises sqlalchemy.exc.SQLAlchemyError."""
        self._presented = presented
        self._record = record
        self._usage = usage
        self._state = state

    def tell(self, authorization: str) -> dict[str, Any]:
        """The answer to a request with this ``Authorization`` header."""
        try:
            verdict = self._presented.verdict(authorization)
        except UncheckedError:
            raise errors.sdk(
                503, "The key could not be checked now; try again", code="unavailable", headers=(("Retry-After", "1"),)
            ) from None
        if verdict is None:
            raise _denied(f"Send Authorization: Bearer with an API key ({PREFIX}...): it is the key that is told of")
        if not verdict.valid:
            raise _denied(f"The API key is not accepted: {verdict.reason}")
        with store_fault_is("Failed to retrieve API key"):
            record = self._record(verdict.key_id)
        if record is None:
            raise _denied("The API key is not accepted: key not found")
        now = self._usage.now()
        day = now.replace(hour=0, minute=0, second=0, microsecond=0)
        begins = {
            "": datetime(_LONG_AGO, 1, 1, tzinfo=now.tzinfo),
            "_daily": day,
            "_weekly": day - timedelta(days=day.weekday()),
            "_monthly": day.replace(day=1),
        }
        lines = {name: self._line(record, start, now) for name, start in begins.items()}
        budgets = [self._budget(record, budget, now) for budget in record.budgets]
        spent_in = (*currencies(record.budgets), *sorted(lines[""].cost.amounts))
        currency = spent_in[0] if spent_in else None
        return {
            "label": record.name,
            "id": record.id,
            "user": record.username,
            "subscription": record.subscription,
            "models": None if record.models is None else list(record.models),
            "expires_at": None if verdict.expires_at is None else _time(record.expires_at),
            "is_free_tier": False,
            "currency": currency,
            **{f"usage{name}": _money(line, currency) for name, line in lines.items()},
            **{f"tokens{name}": line.counts.input + line.counts.output for name, line in lines.items()},
            **_limit(budgets),
            "budget": [item.shown for item in budgets],
        }

    def budgets(self, record: KeyRecord) -> list[dict[str, Any]]:
        """Where each of a key's budgets stands."""
        now = self._usage.now()
        return [self._budget(record, budget, now).shown for budget in record.budgets]

    def _line(self, record: KeyRecord, start: datetime, now: datetime) -> Line:
        only = {"user": (record.username,), "key": (record.id,)}
        return self._usage.answer(Query(start, now + timedelta(hours=1), "total", (), only)).total

    def _budget(self, record: KeyRecord, budget: Budget, now: datetime) -> _Standing:
        with store_fault_is("Failed to read the budget"):
            state = self._state(record.id, budget, now)
        _, ends = window(budget.per, now)
        left = max(0, budget.amount - state.taken)
        used, remaining = (money(part) if budget.currency else part for part in (state.used, left))
        shown = {**as_json((budget,))[0], "used": used, "remaining": remaining, "resets_at": _time(ends)}
        return _Standing(budget, left, shown)


def _limit(budgets: Sequence[_Standing]) -> dict[str, Any]:
    """OpenRouter's three fields, of which there is one limit in money: the tightest budget in it."""
    tightest = min((item for item in budgets if item.budget.currency), key=lambda item: item.left, default=None)
    if tightest is None:
        return {"limit": None, "limit_remaining": None, "limit_reset": None}
    return {
        "limit": float(money(tightest.budget.amount)),
        "limit_remaining": float(money(tightest.left)),
        "limit_reset": _RESETS[tightest.budget.per],
    }


def _denied(message: str) -> ApiError:
    return errors.sdk(401, message, code="invalid_api_key", headers=(("WWW-Authenticate", 'Bearer realm="maas-api"'),))


def _money(line: Line, currency: str | None) -> float:
    """A number, as OpenRouter has it; what is exact is in the usage answers."""
    return float(line.cost.amounts.get(currency or "", Decimal(0)))


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ")
