"""Reading, revoking and rotating one key: who may, what they see, and what becomes of the secret."""

from __future__ import annotations

import json
from typing import Any

import pytest

from maas_api.observability import metrics
from tests.api.keys.conftest import VALIDATE, Api
from tests.support.wait import until

REFUSED = {"valid": False, "tenant": ""}
GONE = {**REFUSED, "reason": "key revoked or expired"}


def path(made: dict[str, Any], rest: str = "") -> str:
    return f"/v1/api-keys/{made['id']}{rest}"


def expire(api: Api, made: dict[str, Any]) -> None:
    """Let a key's time be over."""
    past = "2020-01-01 00:00:00.000000"
    zone = "+00" if api.database.postgres else ""
    api.sql(f"UPDATE api_keys SET expires_at = '{past}{zone}' WHERE id = :id", id=made["id"])


def stored_status(api: Api, made: dict[str, Any]) -> str:
    with api.database.reading() as connection:
        query = f"SELECT status FROM api_keys WHERE id = '{made['id']}'"
        return str(connection.exec_driver_sql(query).scalar())


def test_the_owner_reads_a_key_without_its_secret(api: Api) -> None:
    made = api.mint("readable", description="d", labels={"a": "b"}, models=["gpt-*"])
    answer = api.call("GET", path(made))
    assert answer.status_code == 200
    assert answer.json() == {
        "id": made["id"],
        "name": "readable",
        "description": "d",
        "username": "ann",
        "subscription": "default",
        "tenant": "models-as-a-service",
        "creationDate": made["createdAt"],
        "expirationDate": made["expiresAt"],
        "status": "active",
        "ephemeral": False,
        "labels": {"a": "b"},
        "models": ["gpt-*"],
    }


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_key_of_somebody_else_looks_like_no_key(api: Api, method: str) -> None:
    made = api.mint()
    stranger = api.call(method, path(made), user="bob")
    nothing = api.call(method, "/v1/api-keys/no-such-id", user="bob")
    assert (stranger.status_code, stranger.content) == (nothing.status_code, nothing.content)
    assert (stranger.status_code, stranger.json()) == (404, {"error": "API key not found"})
    assert api.validate(made["key"])["valid"] is True


@pytest.mark.parametrize("key_id", ["no-such-id", "%00", "a%20b", "'; DROP TABLE api_keys; --"])
def test_any_text_is_an_id_of_no_key(api: Api, key_id: str) -> None:
    assert api.call("GET", f"/v1/api-keys/{key_id}").status_code == 404


def test_an_admin_reads_and_revokes_any_key_of_the_tenant(api: Api) -> None:
    made = api.mint()
    assert api.call("GET", path(made), user="root").json()["username"] == "ann"
    assert api.call("DELETE", path(made), user="root").status_code == 200


def test_a_key_of_another_tenant_does_not_exist_even_for_an_admin(api: Api) -> None:
    made = api.mint()
    api.sql("UPDATE api_keys SET tenant = 'other' WHERE id = :id", id=made["id"])
    assert api.call("GET", path(made)).status_code == 404
    assert api.call("GET", path(made), user="root").status_code == 404
    assert api.call("DELETE", path(made), user="root").status_code == 404
    assert api.validate(made["key"]) == {**REFUSED, "reason": "key not found"}


def test_a_revoked_key_is_refused_at_the_next_request(api: Api) -> None:
    for _ in range(20):
        made = api.mint()
        assert api.validate(made["key"])["valid"] is True
        assert api.validate(made["key"])["valid"] is True
        assert api.call("DELETE", path(made)).json()["status"] == "revoked"
        assert api.validate(made["key"]) == GONE


def test_revoking_twice_finds_nothing_the_second_time(api: Api) -> None:
    made = api.mint()
    assert api.call("DELETE", path(made)).status_code == 200
    assert api.call("DELETE", path(made)).status_code == 404
    assert api.call("GET", path(made)).json()["status"] == "revoked"


def test_an_expired_key_is_refused_and_its_status_is_computed(api: Api) -> None:
    made = api.mint()
    expire(api, made)
    assert api.call("GET", path(made)).json()["status"] == "expired"
    assert stored_status(api, made) == "active"
    assert api.call("DELETE", path(made)).status_code == 200


def test_a_key_presented_after_its_expiry_is_stored_as_expired_and_cannot_be_revoked(api: Api) -> None:
    made = api.mint()
    expire(api, made)
    assert api.validate(made["key"]) == GONE
    until(lambda: stored_status(api, made) == "expired", what="the expiry was stored")
    assert api.call("DELETE", path(made)).status_code == 404


def test_a_short_lived_key_stops_by_itself_although_it_is_remembered(api: Api) -> None:
    made = api.mint(expiresIn=1.2)
    assert api.validate(made["key"])["valid"] is True
    until(lambda: api.validate(made["key"]) == GONE, what="the key expired")


def test_a_key_without_a_subscription_says_so(api: Api) -> None:
    made = api.mint()
    api.sql("UPDATE api_keys SET subscription = '' WHERE id = :id", id=made["id"])
    assert api.validate(made["key"]) == {**REFUSED, "reason": "key has no subscription bound"}


def test_a_use_is_recorded_in_the_background(api: Api) -> None:
    made = api.mint()
    assert "lastUsedAt" not in api.call("GET", path(made)).json()
    api.validate(made["key"])
    until(lambda: "lastUsedAt" in api.call("GET", path(made)).json(), what="the last use was written")


def test_a_key_of_the_first_format_still_validates(api: Api) -> None:
    made = api.mint()
    old = "sk-oai-" + "Zz0" * 14
    import hashlib

    digest = hashlib.sha256(old.encode()).hexdigest()
    api.sql("UPDATE api_keys SET key_hash = :hash WHERE id = :id", hash=digest, id=made["id"])
    assert api.validate(old)["keyId"] == made["id"]
    api.call("DELETE", path(made))
    assert api.validate(old) == GONE


def test_an_allow_list_is_part_of_the_verdict(api: Api) -> None:
    made = api.mint(models=["gpt-4o-mini", "claude-*", "gpt-4o-mini"])
    assert made["models"] == ["gpt-4o-mini", "claude-*"]
    assert api.validate(made["key"])["models"] == ["gpt-4o-mini", "claude-*"]


def test_a_verdict_names_every_group_however_many_there_are(api: Api) -> None:
    """The last group may be the one that owns the key's subscription."""
    groups = [f"group-with-a-name-of-some-length-{number:03}" for number in range(60)]
    answer = api.call("POST", "/v1/api-keys", {"name": "é" * 128}, user="u" * 120, groups=json.dumps(groups))
    counted = metrics.long_replies.labels()
    before = counted.value
    reply = api.validate(answer.json()["key"])
    assert (reply["groups"], reply["keyName"]) == (groups, "é" * 128)
    assert counted.value == before + 1


class TestCallback:
    """``POST /internal/v1/api-keys/validate``."""

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"{}", b'{"key":""}', b'{"key":null}', b'{"key":7}'])
    def test_without_a_key_it_is_400(self, api: Api, body: bytes) -> None:
        answer = api.http.post(VALIDATE, content=body)
        assert (answer.status_code, answer.json()) == (400, {"error": "key is required"})

    def test_an_oversized_body_is_400_too(self, api: Api) -> None:
        answer = api.http.post(VALIDATE, content=b'{"key":"' + b"x" * 1_100_000)
        assert (answer.status_code, answer.json()) == (400, {"error": "key is required"})

    def test_the_body_s_spelling_and_type_do_not_matter(self, api: Api) -> None:
        made = api.mint()
        answer = api.http.post(VALIDATE, content=f'{{"x":1,"KEY":"{made["key"]}"}} rest', headers={"content-type": "x"})
        assert answer.json()["valid"] is True

    def test_junk_and_unknown_keys_are_told_apart(self, api: Api) -> None:
        assert api.validate("junk") == {**REFUSED, "reason": "invalid key format"}
        assert api.validate("sk-oai-a" + "_b") == {**REFUSED, "reason": "key not found"}

    def test_the_method_is_post(self, api: Api) -> None:
        assert api.http.get(VALIDATE).status_code == 405

    def test_it_is_unreachable_through_a_gateway(self, api: Api) -> None:
        for header in ("x-envoy-original-path", "x-forwarded-for"):
            answer = api.http.post(VALIDATE, json={"key": "k"}, headers={header: "1"})
            assert answer.status_code == 404


class TestRotation:
    """``POST /v1/api-keys/{id}/rotate``."""

    def rotate(self, api: Api, made: dict[str, Any], body: Any = None, **more: Any) -> dict[str, Any]:
        answer = api.call("POST", path(made, "/rotate"), b"" if body is None else body, **more)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def test_the_key_stays_and_only_its_new_secret_validates(self, api: Api) -> None:
        made = api.mint("kept", labels={"a": "b"}, models=["m"])
        assert api.validate(made["key"])["valid"] is True
        new = self.rotate(api, made)
        same = ("id", "name", "subscription", "createdAt", "expiresAt", "labels", "models")
        assert {name: new[name] for name in same} == {name: made[name] for name in same}
        assert "oldSecretValidUntil" not in new
        assert api.validate(new["key"])["keyId"] == made["id"]
        assert api.validate(made["key"]) == {**REFUSED, "reason": "key not found"}

    def test_with_a_grace_both_secrets_validate_and_revoking_ends_both(self, api: Api) -> None:
        made = api.mint()
        new = self.rotate(api, made, {"graceSeconds": 3600})
        assert new["oldSecretValidUntil"].endswith("Z")
        assert api.validate(made["key"]) == api.validate(new["key"])
        api.call("DELETE", path(made))
        assert api.validate(made["key"]) == api.validate(new["key"]) == GONE

    def test_the_old_secret_ends_with_its_grace(self, api: Api) -> None:
        made = api.mint()
        new = self.rotate(api, made, {"graceSeconds": 1})
        assert api.validate(made["key"])["valid"] is True
        until(lambda: api.validate(made["key"]) == GONE, what="the grace ended")
        assert api.validate(new["key"])["valid"] is True

    def test_without_a_grace_every_earlier_secret_ends(self, api: Api) -> None:
        first = api.mint()
        second = self.rotate(api, first, {"graceSeconds": 3600})
        third = self.rotate(api, first)
        assert api.validate(third["key"])["valid"] is True
        assert not api.validate(second["key"])["valid"]
        assert not api.validate(first["key"])["valid"]

    def test_a_lost_reply_can_be_asked_for_again(self, api: Api) -> None:
        made = api.mint()
        once = {"Idempotency-Key": "rotation-1"}
        lost = self.rotate(api, made, {"graceSeconds": 3600}, headers=once)
        again = self.rotate(api, made, {"graceSeconds": 3600}, headers=once)
        assert again["key"] != lost["key"]
        assert again["oldSecretValidUntil"] == lost["oldSecretValidUntil"]
        assert api.validate(again["key"])["valid"] is True
        assert api.validate(made["key"])["valid"] is True
        assert not api.validate(lost["key"])["valid"]

    def test_an_idempotency_key_of_the_past_is_a_conflict(self, api: Api) -> None:
        made = api.mint()
        once = {"Idempotency-Key": "rotation-1"}
        self.rotate(api, made, headers=once)
        newest = self.rotate(api, made)
        answer = api.call("POST", path(made, "/rotate"), headers=once)
        assert answer.status_code == 409
        assert api.validate(newest["key"])["valid"] is True

    @pytest.mark.parametrize(
        ("body", "headers", "said"),
        [
            ({"graceSeconds": -1}, {}, "graceSeconds must be from 0 to 86400, got -1"),
            ({"graceSeconds": 86401}, {}, "graceSeconds must be from 0 to 86400, got 86401"),
            ({"graceSeconds": 1.5}, {}, "graceSeconds: must be a whole number, got 1.5"),
            ({"graceSeconds": "1"}, {}, "graceSeconds: must be a whole number, got string"),
            ({"grace": 1}, {}, "grace: there is no such field"),
            ({}, {"Idempotency-Key": "a b"}, "Idempotency-Key must be 1 to 255 visible ASCII characters"),
        ],
    )
    def test_what_is_refused(self, api: Api, body: Any, headers: dict[str, str], said: str) -> None:
        made = api.mint()
        answer = api.call("POST", path(made, "/rotate"), body, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (400, said)
        assert api.validate(made["key"])["valid"] is True

    def test_only_the_owner_gets_a_secret(self, api: Api) -> None:
        made = api.mint()
        assert api.call("POST", path(made, "/rotate"), user="bob").status_code == 404
        assert api.call("POST", path(made, "/rotate"), user="root").status_code == 403
        assert api.validate(made["key"])["valid"] is True

    def test_a_key_that_does_not_validate_cannot_be_rotated(self, api: Api) -> None:
        revoked, expired = api.mint(), api.mint()
        api.call("DELETE", path(revoked))
        expire(api, expired)
        assert api.call("POST", path(revoked, "/rotate")).status_code == 404
        assert api.call("POST", path(expired, "/rotate")).status_code == 404
