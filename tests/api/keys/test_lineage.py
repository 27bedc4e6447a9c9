"""Keys that are minted with a key: in nothing more than that one, and ended with it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from tests.api.keys.conftest import Api

MINT = "/v1/api-keys"


def with_key(api: Api, key: str, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
    """A request as the gateway passes it on that let an API key in."""
    return api.call(method, path, body, headers={"Authorization": f"Bearer {key}", **headers})


def child(api: Api, key: str, **fields: Any) -> dict[str, Any]:
    answer = with_key(api, key, "POST", MINT, {"name": "child", **fields})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def refusal(api: Api, key: str, **fields: Any) -> tuple[int, str]:
    answer = with_key(api, key, "POST", MINT, {"name": "child", **fields})
    return answer.status_code, answer.json()["error"]


def test_a_child_ends_when_its_parent_does_unless_a_shorter_life_is_asked_for(api: Api) -> None:
    parent = api.mint(expiresIn="2h")
    assert child(api, parent["key"])["expiresAt"] == parent["expiresAt"]
    assert child(api, parent["key"], expiresIn="1h")["expiresAt"] < parent["expiresAt"]
    status, text = refusal(api, parent["key"], expiresIn="3h")
    assert (status, parent["expiresAt"] in text, "exceeds maximum" in text) == (400, True, True)


def test_a_child_has_its_parent_s_models_or_fewer(api: Api) -> None:
    parent = api.mint(models=["gpt-*", "claude"])
    limits = {"X-MaaS-Models": '["gpt-*", "claude"]'}
    same = with_key(api, parent["key"], "POST", MINT, {"name": "child"}, **limits)
    assert (same.status_code, same.json()["models"]) == (201, ["gpt-*", "claude"])
    assert child(api, parent["key"], models=["gpt-4*", "claude"])["models"] == ["gpt-4*", "claude"]
    for wider in ("*", "gp*", "claude*", "llama"):
        status, text = refusal(api, parent["key"], models=["gpt-4o", wider])
        assert (status, repr(wider) in text) == (400, True)


def test_a_child_has_its_parent_s_groups_whatever_its_owner_is_in_by_now(api: Api) -> None:
    parent = api.mint()
    answer = api.call(
        "POST", MINT, {"name": "child"}, groups='["team", "admins"]', headers={"X-Api-Key": parent["key"]}
    )
    assert answer.status_code == 201, answer.text
    assert api.validate(answer.json()["key"])["groups"] == ["team"]


def test_a_child_keeps_its_parent_s_subscription(api: Api) -> None:
    parent = api.mint()
    assert child(api, parent["key"])["subscription"] == "default"
    assert refusal(api, parent["key"], subscription="other") == (
        400,
        "subscription must be 'default', that of the API key that asks, got 'other'",
    )


def test_a_key_with_a_budget_mints_and_rotates_none_even_where_the_gateway_does_not_tell(api: Api) -> None:
    parent = api.mint(budget={"tokens": 100, "per": "day"})
    for path in (MINT, f"{MINT}/{parent['id']}/rotate"):
        answer = with_key(api, parent["key"], "POST", path, {"name": "child"} if path == MINT else {})
        assert (answer.status_code, answer.json()["code"]) == (403, "limited_key")


@pytest.mark.parametrize("state", ["unknown", "revoked", "expired", "of somebody else", "malformed"])
def test_a_key_that_is_not_good_mints_nothing(api: Api, state: str) -> None:
    parent = api.mint(user="bob" if state == "of somebody else" else "ann")
    key = parent["key"]
    if state == "unknown":
        api.sql("DELETE FROM api_keys WHERE id = :id", id=parent["id"])
    if state == "revoked":
        api.call("DELETE", f"{MINT}/{parent['id']}")
    if state == "expired":
        zone = "+00" if api.database.postgres else ""
        api.sql(f"UPDATE api_keys SET expires_at = '2020-01-01 00:00:00.000000{zone}' WHERE id = :id", id=parent["id"])
    if state == "malformed":
        key += "x"
    status, text = refusal(api, key)
    assert status == 401
    assert text.startswith("the API key is not accepted")
    assert key not in text


def test_a_child_is_recorded_as_one(api: Api) -> None:
    parent = api.mint()
    made = child(api, parent["key"])
    assert made["parent"] == parent["id"]
    assert api.call("GET", f"{MINT}/{made['id']}").json()["parent"] == parent["id"]
    assert "parent" not in parent


@pytest.mark.parametrize("how", ["one", "bulk", "go"])
def test_descendants_are_revoked_with_a_key(api: Api, how: str) -> None:
    user = f"ann-{how}"
    parent = api.mint(user=user)

    def born(key: str) -> dict[str, Any]:
        answer = api.call("POST", MINT, {"name": "child"}, user=user, headers={"Authorization": f"Bearer {key}"})
        made: dict[str, Any] = answer.json()
        return made

    first = born(parent["key"])
    family = [first, born(first["key"]), born(parent["key"])]
    other = api.mint(user=user)
    assert all(api.validate(made["key"])["valid"] for made in family)
    if how == "one":
        assert api.call("DELETE", f"{MINT}/{parent['id']}", user=user).status_code == 200
    elif how == "bulk":
        # The bulk's own condition finds the parent alone: its children were moved away by hand.
        for made in family:
            api.sql("UPDATE api_keys SET subscription = 'moved' WHERE id = :id", id=made["id"])
        asked = {"subscription": "default", "username": user}
        assert api.call("POST", f"{MINT}/bulk-revoke", asked, user="root").json()["revokedCount"] == 5
    else:
        api.sql("UPDATE api_keys SET status = 'revoked' WHERE id = :id", id=parent["id"])
        assert api.http.post("/internal/v1/api-keys/cleanup").status_code == 200
    assert [api.validate(made["key"])["valid"] for made in family] == [False, False, False]
    assert api.validate(other["key"])["valid"] is (how != "bulk")


def test_children_are_kept_where_a_user_says_so_and_end_with_what_is_above(api: Api) -> None:
    top = api.mint()
    middle = child(api, top["key"])
    bottom = child(api, middle["key"])
    refused = with_key(api, top["key"], "DELETE", f"{MINT}/{middle['id']}?keepChildren=true")
    assert refused.status_code == 403
    assert api.call("DELETE", f"{MINT}/{middle['id']}?keepChildren=yes").status_code == 400
    assert api.call("DELETE", f"{MINT}/{middle['id']}?keepChildren=true").status_code == 200
    assert api.validate(bottom["key"])["valid"] is True
    assert api.call("DELETE", f"{MINT}/{top['id']}").status_code == 200
    assert api.validate(bottom["key"])["valid"] is False


def test_a_key_rotates_itself_and_its_children_and_no_other(api: Api) -> None:
    key, other = api.mint(), api.mint()
    made = child(api, key["key"])
    assert with_key(api, key["key"], "POST", f"{MINT}/{made['id']}/rotate", {}).status_code == 200
    refused = with_key(api, key["key"], "POST", f"{MINT}/{other['id']}/rotate", {})
    assert (refused.status_code, "no other" in refused.json()["error"]) == (403, True)
    assert with_key(api, child(api, key["key"])["key"], "POST", f"{MINT}/{key['id']}/rotate", {}).status_code == 403
    assert with_key(api, key["key"], "POST", f"{MINT}/{key['id']}/rotate", {}).status_code == 200


def test_a_secret_that_is_soon_over_makes_nothing_that_lasts(api: Api) -> None:
    key = api.mint()
    path = f"{MINT}/{key['id']}/rotate"
    once = {"Idempotency-Key": f"once-{key['id']}"}
    rotated = with_key(api, key["key"], "POST", path, {"graceSeconds": 60}, **once)
    assert rotated.status_code == 200, rotated.text
    soon = datetime.now(UTC) + timedelta(seconds=61)
    assert datetime.fromisoformat(child(api, key["key"])["expiresAt"]) <= soon
    assert refusal(api, key["key"], expiresIn="1h")[0] == 400
    assert with_key(api, key["key"], "POST", path, {"graceSeconds": 60}).status_code == 403
    # Whose answer was lost still repeats it with the secret it has.
    assert with_key(api, key["key"], "POST", path, {"graceSeconds": 60}, **once).status_code == 200


def test_a_platform_token_mints_as_before(api: Api) -> None:
    answer = api.call("POST", MINT, {"name": "n"}, headers={"Authorization": "Bearer eyJhbGciOi.J9.x"})
    assert answer.status_code == 201
    assert "parent" not in answer.json()
