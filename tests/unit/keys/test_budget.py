"""What a budget may be, and which period a moment lies in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from maas_api.keys.budget import Budget, BudgetError, capped, from_json, from_text, window
from maas_api.keys.policy import PolicyError, Spending

DAY, MONTH, TOTAL = Budget(1000, "day"), Budget(9000, "month"), Budget(10_000, "total")


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
    ([{"tokens": 1, "per": "day"}, {"tokens": 2, "per": "day"}], "must be one for each period"),
    ([{"tokens": 1, "per": "day"}] * 5, "must be at most 4, one for each period, got 5"),
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
]


@pytest.mark.parametrize(("per", "begins", "ends"), WINDOWS)
def test_periods_are_the_calendar_s_in_utc(per: str, begins: str, ends: str) -> None:
    found = window(per, datetime(2026, 11, 24, 20, 59, 59, tzinfo=UTC))
    assert found == tuple(datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (begins, ends))


def test_december_is_followed_by_january_and_a_total_by_nothing() -> None:
    assert window("month", datetime(2026, 12, 31, 23, tzinfo=UTC))[1] == datetime(2027, 1, 1, tzinfo=UTC)
    assert window("total", datetime(2026, 12, 31, tzinfo=UTC))[1] is None
