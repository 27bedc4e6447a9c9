"""What a budget may be, and which period a moment lies in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from maas_api.keys.budget import Budget, BudgetError, as_json, capped, from_json, from_text, stored, window
from maas_api.keys.policy import PolicyError, Spending

DAY, MONTH, TOTAL = Budget(1000, "day"), Budget(9000, "month"), Budget(10_000, "total")
DOLLARS = Budget(25_500_000_000, "month", "USD")


def test_one_budget_or_one_for_each_period() -> None:
    assert from_json({"tokens": 1000, "per": "day"}) == (DAY,)
    assert from_json([{"tokens": 10_000, "per": "total"}, {"tokens": 1000, "per": "day"}]) == (DAY, TOTAL)


WRONG: list[tuple[Any, str]] = [
    ({}, "must be an object of tokens and per"),
    ({"tokens": 1, "per": "day", "tokns": 2}, "must be an object of tokens and per"),
    ([], "must name at least one"),
    ("1000", "must be an object of tokens and per"),
    ({"tokens": 0, "per": "day"}, "tokens must be a whole number from 1 to"),
    ({"tokens": True, "per": "day"}, "tokens must be a whole number from 1 to"),
    ({"tokens": 1.5, "per": "day"}, "tokens must be a whole number from 1 to"),
    ({"tokens": 1, "per": "week"}, "per must be one of hour, day, month, total"),
    ([{"tokens": 1, "per": "day"}, {"tokens": 2, "per": "day"}], "must be one for each period and kind"),
    ([{"tokens": 1, "per": "day"}] * 9, "must be at most 8, one for each period and kind, got 9"),
    ({"cost": "1", "per": "day"}, "must be an object of tokens and per"),
    ({"cost": "0", "currency": "USD", "per": "day"}, "cost must be an amount such as 25.50"),
    ({"cost": "1e3", "currency": "USD", "per": "day"}, "cost must be an amount such as 25.50"),
    ({"cost": -1, "currency": "USD", "per": "day"}, "cost must be an amount such as 25.50"),
    ({"cost": float("nan"), "currency": "USD", "per": "day"}, "cost must be an amount such as 25.50"),
    ({"cost": True, "currency": "USD", "per": "day"}, "cost must be an amount such as 25.50"),
    ({"cost": "1", "currency": "dollars", "per": "day"}, "currency must be three capital letters"),
    ([{"cost": "1", "currency": "USD", "per": "day"}] * 2, "must be one for each period and kind"),
    (
        [{"cost": "1", "currency": "USD", "per": "day"}, {"cost": "1", "currency": "EUR", "per": "month"}],
        "must be in one currency, got EUR and USD",
    ),
]


@pytest.mark.parametrize(("value", "rule"), WRONG)
def test_what_is_none_is_refused_with_its_rule(value: Any, rule: str) -> None:
    with pytest.raises(BudgetError) as fault:
        from_json(value)
    assert str(fault.value).startswith(rule)


def test_an_option_s_text_says_the_same() -> None:
    assert from_text("1000 tokens/day, 10000 tokens total") == (DAY, TOTAL)
    assert from_text("1000 tokens per day,9000 tokens/month") == (DAY, MONTH)
    assert from_text(" ") == ()
    for wrong in ("1000/day", "1000 tokens/week", "-1 tokens/day", "many tokens/day"):
        with pytest.raises(BudgetError):
            from_text(wrong)


def test_a_budget_s_own_text_is_one_that_an_option_takes() -> None:
    assert from_text(", ".join(map(str, (DAY, MONTH, TOTAL)))) == (DAY, MONTH, TOTAL)


def test_money_is_exact_from_the_request_to_the_store_and_back() -> None:
    for cost in ("25.50", 25.5):
        assert from_json({"cost": cost, "currency": "USD", "per": "month"}) == (DOLLARS,)
    assert from_text("25.50 USD/month, 1000 tokens/day") == (DAY, DOLLARS)
    assert from_text(str(DOLLARS)) == (DOLLARS,)
    assert as_json((DAY, DOLLARS)) == [
        {"tokens": 1000, "per": "day"},
        {"cost": "25.5", "currency": "USD", "per": "month"},
    ]
    assert stored(as_json((DAY, DOLLARS))) == (DAY, DOLLARS)
    assert from_json({"cost": "0.000000001", "currency": "EUR", "per": "total"}) == (Budget(1, "total", "EUR"),)


def test_tokens_and_money_of_one_period_are_two_budgets() -> None:
    both = from_json([{"tokens": 1000, "per": "day"}, {"cost": 1, "currency": "USD", "per": "day"}])
    assert len({budget.account for budget in both}) == 2
    assert capped(both, (Budget(500_000_000, "day", "USD"),)) == (DAY, Budget(500_000_000, "day", "USD"))


def test_a_cap_in_another_currency_is_named() -> None:
    spending = Spending(caps=(DOLLARS,))
    with pytest.raises(PolicyError, match="budget must be in USD, as the maximum allowed is, got EUR and USD"):
        spending.of({"cost": 1, "currency": "EUR", "per": "day"})


def test_caps_hold_for_every_new_key() -> None:
    spending = Spending(default=(Budget(500, "day"),), caps=(DAY, TOTAL))
    assert spending.of(None) == (Budget(500, "day"), TOTAL)
    assert spending.of({"tokens": 700, "per": "day"}) == (Budget(700, "day"), TOTAL)
    with pytest.raises(PolicyError, match="budget exceeds the maximum allowed"):
        spending.of({"tokens": 1001, "per": "day"})
    assert Spending().of(None) == ()
    assert capped((Budget(5, "hour"),), ()) == (Budget(5, "hour"),)


WINDOWS = [
    ("hour", "2026-11-24T20:00", "2026-11-24T21:00"),
    ("day", "2026-11-24T00:00", "2026-11-25T00:00"),
    ("month", "2026-11-01T00:00", "2026-12-01T00:00"),
    ("month/USD", "2026-11-01T00:00", "2026-12-01T00:00"),
    ("24h", "2026-11-24T00:00", "2026-11-25T00:00"),
    ("90m", "2026-11-24T19:30", "2026-11-24T21:00"),
]


@pytest.mark.parametrize(("per", "begins", "ends"), WINDOWS)
def test_periods_are_the_calendar_s_in_utc(per: str, begins: str, ends: str) -> None:
    found = window(per, datetime(2026, 11, 24, 20, 59, 59, tzinfo=UTC))
    assert found == tuple(datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (begins, ends))


def test_december_is_followed_by_january_and_a_total_by_nothing() -> None:
    assert window("month", datetime(2026, 12, 31, 23, tzinfo=UTC))[1] == datetime(2027, 1, 1, tzinfo=UTC)
    assert window("total", datetime(2026, 12, 31, tzinfo=UTC))[1] is None
