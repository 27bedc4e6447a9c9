"""What the gateway adds to a yes of the authorizer, and its no to a call that cannot be paid for."""

from __future__ import annotations

import json

import pytest

from maas_api.gateway import quota
from maas_api.keys.budget import Budget
from maas_api.usage.budgets.decisions import Decision, Granted, Left, Spent, Unknown, Unpriced
from maas_api.usage.record import Hold
from maas_api.wire import Reply

YES = Reply(200, ((b"x-maas-username", b"ann"),), b"")
TOKENS, DOLLARS = Budget(1_000, "day"), Budget(25_500_000_000, "month", "USD")


def lines(decided: Decision) -> dict[str, str]:
    """The headers of the answer."""
    return {name.decode().lower(): value.decode() for name, value in quota.held(YES, decided).headers}


def test_a_yes_says_what_is_held_and_what_is_left_of_each_kind() -> None:
    hold = Hold(400, 1_960_000, 3_200_000, "llm/opt")
    granted = Granted(hold, Left(TOKENS, 600, 61.2), Left(DOLLARS, 20_000_000_000, None))
    assert quota.held(YES, granted).status == 200
    assert lines(granted) == {
        "x-maas-username": "ann",
        "x-maas-metered-held": "400.1960000.3200000 llm/opt",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "600",
        "x-ratelimit-reset-tokens": "1m2s",
        "x-ratelimit-limit-cost": "25.5 USD",
        "x-ratelimit-remaining-cost": "20 USD",
    }


def test_a_call_that_no_budget_counts_is_held_for_by_none() -> None:
    assert lines(Granted(None)) == {"x-maas-username": "ann"}


REFUSALS: list[tuple[Decision, int, str, str]] = [
    (
        Spent(TOKENS, 59.5),
        429,
        "insufficient_quota",
        "You exceeded your current quota: this API key's budget of 1000 tokens/day is spent; it begins anew in 60 s",
    ),
    (
        Spent(DOLLARS, None),
        429,
        "insufficient_quota",
        "You exceeded your current quota: this API key's budget of 25.5 USD/month is spent",
    ),
    (
        Spent(Budget(500, "24h"), 3.0, "gold"),
        429,
        "insufficient_quota",
        "You exceeded your current quota: subscription `gold`'s limit of 500 tokens/24h is spent; "
        "it begins anew in 3 s",
    ),
    (
        Unpriced("gpt-test", "USD"),
        403,
        "model_without_price",
        "This API key's budget is in USD, and the model `gpt-test` has no price in it: call one that has, or ask an "
        "operator to give this one a price (0 where it is free)",
    ),
    (Unknown(), 503, "unavailable", "The budget of this call could not be checked now; try again"),
]


@pytest.mark.parametrize(("decided", "status", "code", "message"), REFUSALS)
def test_a_no_names_the_budget_and_the_way_on(decided: Decision, status: int, code: str, message: str) -> None:
    answer = quota.held(YES, decided)
    error = json.loads(answer.body)["error"]
    assert (answer.status, error["code"], error["message"]) == (status, code, message)
    said = lines(decided)
    if status != 503:
        assert said["x-should-retry"] == "false"
    if isinstance(decided, Spent):
        assert ("retry-after" in said) == (decided.reset is not None)
        kind = "cost" if decided.budget.currency else "tokens"
        assert said[f"x-ratelimit-remaining-{kind}"].startswith("0")
