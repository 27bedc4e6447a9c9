"""Budgets of keys over HTTP: at mint, read back, changed by admins alone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.keys.conftest import Api
from tests.support.contract import check

DAY = {"tokens": 1000, "per": "day"}
NO_BUDGET = (
    'budget must be an object of tokens and per, such as {"tokens": 100000, "per": "day"}, or of cost, currency and '
    'per, such as {"cost": "25.50", "currency": "USD", "per": "month"}'
)


def test_a_key_is_minted_with_the_budget_it_asks_for_and_shows_it(api: Api) -> None:
    made = api.mint(budget=DAY)
    check("POST", "/v1/api-keys", 201, made)
    assert made["budget"] == [DAY]
    record = api.call("GET", f"/v1/api-keys/{made['id']}").json()
    check("GET", "/v1/api-keys/{id}", 200, record)
    assert record["budget"] == [DAY]
    assert "budget" not in api.mint()


def test_a_rotated_key_keeps_its_budget(api: Api) -> None:
    made = api.mint(budget=[DAY])
    rotated = api.call("POST", f"/v1/api-keys/{made['id']}/rotate").json()
    assert rotated["budget"] == [DAY]


@pytest.mark.parametrize(
    ("budget", "sentence"),
    [
        ({"tokens": 0, "per": "day"}, "budget tokens must be a whole number from 1 to 1000000000000000"),
        ({"tokens": 5}, NO_BUDGET),
        ([DAY, DAY], "budget must be one for each period and kind"),
        ("much", NO_BUDGET),
    ],
)
def test_what_is_no_budget_mints_nothing(api: Api, budget: Any, sentence: str) -> None:
    answer = api.call("POST", "/v1/api-keys", {"name": "key", "budget": budget})
    assert (answer.status_code, answer.json()) == (400, {"error": sentence})


def test_an_admin_raises_a_budget_and_takes_it_away(api: Api) -> None:
    made = api.mint(budget=DAY)
    path = f"/v1/api-keys/{made['id']}/budget"
    raised = api.call("PUT", path, {"budget": {"tokens": 5000, "per": "month"}}, user="root")
    check("PUT", "/v1/api-keys/{id}/budget", 200, raised.json())
    assert raised.json()["budget"] == [{"tokens": 5000, "per": "month"}]
    gone = api.call("DELETE", path, user="root")
    assert (gone.status_code, "budget" in gone.json()) == (200, False)


def test_nobody_changes_their_own_budget_nor_learns_of_another_s_key(api: Api) -> None:
    made = api.mint(budget=DAY)
    path = f"/v1/api-keys/{made['id']}/budget"
    for method, body in (("PUT", {"budget": {"tokens": 10**9, "per": "day"}}), ("DELETE", None)):
        own = api.call(method, path, body)
        assert (own.status_code, own.json()) == (403, {"error": "only an admin can change an API key's budget"})
        other = api.call(method, path, body, user="eve")
        assert (other.status_code, other.json()) == (404, {"error": "API key not found"})
    assert api.call("GET", f"/v1/api-keys/{made['id']}").json()["budget"] == [DAY]


def test_a_wrong_change_is_refused_with_its_rule(api: Api) -> None:
    path = f"/v1/api-keys/{api.mint()['id']}/budget"
    for body in ({"budget": {"tokens": 1, "per": "week"}}, {}, {"budget": DAY, "budgets": 1}):
        assert api.call("PUT", path, body, user="root").status_code == 400
