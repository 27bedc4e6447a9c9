"""``GET /v1/key``: the key that asks, and no other."""

from __future__ import annotations

from typing import Any

from tests.api.usage.conftest import Api
from tests.support.contract import check
from tests.support.otlp import call


def told(api: Api, key: str) -> dict[str, Any]:
    answer = api.http.get("/v1/key", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    check("GET", "/v1/key", 200, answer.json())
    found: dict[str, Any] = answer.json()["data"]
    assert key not in answer.text
    return found


def test_a_key_is_told_what_it_is_and_has_used(api: Api) -> None:
    made = api.mint("nightly", user="own", budget={"tokens": 1000, "per": "day"}, models=["gpt-*"])
    other = api.mint(user="own")
    api.count([call(user="own", key_id=made["id"])] * 2 + [call(user="own", key_id=other["id"])])
    found = told(api, made["key"])
    assert (found["label"], found["id"], found["user"], found["models"]) == ("nightly", made["id"], "own", ["gpt-*"])
    assert [found[f"tokens{name}"] for name in ("", "_daily", "_weekly", "_monthly")] == [30] * 4
    (budget,) = found["budget"]
    assert (budget["tokens"], budget["per"], budget["remaining"]) == (1000, "day", 1000)
    assert budget["resets_at"].endswith("T00:00:00Z")


def test_a_budget_in_money_is_told_in_openrouter_s_words_too(api: Api) -> None:
    budgets = [{"tokens": 1000, "per": "day"}, {"cost": "12.50", "currency": "EUR", "per": "month"}]
    made = api.mint("nightly", user="own", budget=budgets)
    check("POST", "/v1/api-keys", 201, made)
    found = told(api, made["key"])
    assert (found["currency"], found["limit"], found["limit_remaining"], found["limit_reset"]) == (
        "EUR",
        12.5,
        12.5,
        "monthly",
    )
    assert found["budget"][1] | {"resets_at": None} == {
        "cost": "12.5",
        "currency": "EUR",
        "per": "month",
        "used": "0",
        "remaining": "12.5",
        "resets_at": None,
    }


def test_without_a_key_that_is_good_nothing_is_told(api: Api) -> None:
    made = api.mint(user="own")
    revoked = api.mint(user="own")
    identity = {"X-MaaS-Username": "own", "X-MaaS-Group": '["team"]'}
    assert api.http.delete(f"/v1/api-keys/{revoked['id']}", headers=identity).status_code == 200
    for header in (
        "",
        "Bearer",
        "Bearer token",
        f"Basic {made['key']}",
        f"Bearer {revoked['key']}",
        "Bearer sk-oai-a_b",
    ):
        answer = api.http.get("/v1/key", headers={**identity, "Authorization": header})
        assert answer.status_code == 401, header
        check("GET", "/v1/key", 401, answer.json())
