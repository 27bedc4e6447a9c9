"""Who did what to which keys: each change leaves one record, which admins can read."""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from maas_api.app import build
from maas_api.config import load

if TYPE_CHECKING:
    from tests.api.keys.conftest import Api

ADMIN = {"user": "root"}
BUDGET = {"budget": {"tokens": 100, "per": "day"}}


def records(api: Api, **asked: Any) -> list[dict[str, Any]]:
    answer = api.http.get("/v1/audit", params=asked, headers={"X-MaaS-Username": "root", "X-MaaS-Group": '["a"]'})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def somebody() -> str:
    return f"user-{uuid.uuid4().hex[:8]}"


# What is done with a key of somebody's: (route, what does it, the record)
CHANGES: dict[tuple[str, str], tuple[Callable[[Api, dict[str, Any], str], Any], dict[str, Any]]] = {
    ("POST", "/v1/api-keys/<key_id>/rotate"): (
        lambda api, key, who: api.call("POST", f"/v1/api-keys/{key['id']}/rotate", {"graceSeconds": 5}, user=who),
        {"action": "rotate", "actor": "{who}", "owner": "{who}", "details": {"graceSeconds": "5"}},
    ),
    ("DELETE", "/v1/api-keys/<key_id>"): (
        lambda api, key, who: api.call("DELETE", f"/v1/api-keys/{key['id']}", user=who),
        {"action": "revoke", "actor": "{who}", "owner": "{who}"},
    ),
    ("PUT", "/v1/api-keys/<key_id>/budget"): (
        lambda api, key, who: api.call("PUT", f"/v1/api-keys/{key['id']}/budget", BUDGET, **ADMIN),
        {"action": "budget", "actor": "root", "owner": "{who}", "details": {"budget": "100 tokens/day"}},
    ),
    ("DELETE", "/v1/api-keys/<key_id>/budget"): (
        lambda api, key, who: api.call("DELETE", f"/v1/api-keys/{key['id']}/budget", **ADMIN),
        {"action": "budget", "actor": "root", "owner": "{who}", "details": {"budget": "none"}},
    ),
    ("POST", "/v1/api-keys/bulk-revoke"): (
        lambda api, key, who: api.call("POST", "/v1/api-keys/bulk-revoke", {"username": who}, **ADMIN),
        {"action": "bulk-revoke", "actor": "root", "owner": "{who}"},
    ),
    ("POST", "/internal/v1/api-keys/cleanup"): (
        lambda api, key, who: (
            api.sql(
                "UPDATE api_keys SET ephemeral = true, expires_at = '2020-01-01 00:00:00.000000' WHERE id = :id",
                id=key["id"],
            ),
            api.http.post("/internal/v1/api-keys/cleanup"),
        )[1],
        {"action": "sweep", "actor": "platform", "via": "internal"},
    ),
    ("DELETE", "/internal/v1/tenants/<tenant>/api-keys"): (
        lambda api, key, who: api.http.delete("/internal/v1/tenants/models-as-a-service/api-keys"),
        {"action": "tenant-revoke", "actor": "platform", "via": "internal"},
    ),
}
READS = {
    ("POST", "/v1/api-keys/search"),
    ("POST", "/internal/v1/api-keys/validate"),
    ("POST", "/internal/v1/subscriptions/select"),
}
OF_OTHER_ROOMS = {("POST", "/internal/v1/usage")}
"""Numbers of calls, no change of keys."""


@pytest.mark.parametrize("route", CHANGES, ids=lambda route: f"{route[0]} {route[1]}")
def test_every_route_that_changes_keys_leaves_one_record(api: Api, route: tuple[str, str]) -> None:
    change, expected = CHANGES[route]
    who = somebody()
    key = api.mint(user=who)
    before = len(records(api, limit=1000))
    answer = change(api, key, who)
    assert answer.status_code == 200, answer.text
    after = records(api, limit=1000)
    assert len(after) == before + 1
    made = after[0]
    assert key["id"] in made["keyIds"]
    assert made["keys"] == len(made["keyIds"])
    assert made["outcome"] == "done"
    assert made["requestId"] == answer.headers["x-request-id"]
    for name, value in expected.items():
        assert made[name] == (value.format(who=who) if isinstance(value, str) else value)


def test_a_mint_leaves_one_record(api: Api) -> None:
    who = somebody()
    key = api.mint("first", user=who, models=["gpt-4o"], **BUDGET)
    (made,) = records(api, owner=who)
    assert (made["action"], made["actor"], made["keyIds"]) == ("mint", who, [key["id"]])
    assert made["details"] == {
        "name": "first", "subscription": "default", "expires": key["expiresAt"], "models": "gpt-4o",
        "budget": "100 tokens/day",
    }  # fmt: skip


def test_no_route_is_forgotten(tmp_path: Any) -> None:
    """A new route that changes something shows here: it belongs among the changes above, or is said to change none."""
    service = build(load({"sqlite_path": str(tmp_path / "k.db"), "kubernetes": "off", "manifests": str(tmp_path)}, {}))
    changing = {
        (method, rule.rule)
        for rule in service.flask.url_map.iter_rules()
        for method in (rule.methods or set()) & {"POST", "PUT", "PATCH", "DELETE"}
        # The page changes keys by the same services; the gateway's questions come with any method.
        if not rule.rule.startswith("/ui") and "<path:_rest>" not in rule.rule
    }
    assert changing == {*CHANGES, ("POST", "/v1/api-keys"), *READS, *OF_OTHER_ROOMS}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "/v1/api-keys/{id}", None),
        ("POST", "/v1/api-keys/{id}/rotate", None),
        ("POST", "/v1/api-keys", {"name": ""}),
        ("POST", "/v1/api-keys/bulk-revoke", {"username": "ann", "dryRun": True}),
    ],
)
def test_what_changes_nothing_leaves_none(api: Api, method: str, path: str, body: Any) -> None:
    key = api.mint()
    api.call("DELETE", f"/v1/api-keys/{key['id']}")
    before = records(api, limit=1000)
    api.call(method, path.format(id=key["id"]), body)
    assert records(api, limit=1000) == before


class TestWho:
    """By name, and from which credential."""

    @pytest.mark.parametrize("grace", [0, 3600])
    def test_a_change_with_a_key_names_that_key(self, api: Api, grace: int) -> None:
        who = somebody()
        with_it = api.mint(user=who)
        if grace:  # a replaced secret is the same key's
            api.call("POST", f"/v1/api-keys/{with_it['id']}/rotate", {"graceSeconds": grace}, user=who)
        other = api.mint(user=who)
        bearer = {"Authorization": f"Bearer {with_it['key']}"}
        assert api.call("DELETE", f"/v1/api-keys/{other['id']}", user=who, headers=bearer).status_code == 200
        made = records(api, key=other["id"])[0]
        assert (made["via"], made["viaKey"]) == ("key", with_it["id"])
        assert records(api, viaKey=with_it["id"]) == [made]

    @pytest.mark.parametrize(
        ("headers", "via"),
        [({"Authorization": "Bearer some.platform.token"}, "platform token"), ({}, "gateway"),
         ({"Authorization": "Bearer sk-oai-unknown_key"}, "key")],
    )  # fmt: skip
    def test_others_by_their_kind(self, api: Api, headers: dict[str, str], via: str) -> None:
        who = somebody()
        key = api.mint(user=who)
        assert api.call("DELETE", f"/v1/api-keys/{key['id']}", user=who, headers=headers).status_code == 200
        record = records(api, key=key["id"])[0]
        assert (record["action"], record["via"]) == ("revoke", via)
        assert "viaKey" not in record

    def test_the_next_request_of_the_thread_has_an_origin_of_its_own(self, api: Api) -> None:
        who = somebody()
        key = api.mint(user=who)
        api.call("POST", "/v1/api-keys", {"name": "k"}, user=who, headers={"Authorization": f"Bearer {key['key']}"})
        for _ in range(10):
            api.mint(user=who)
        assert [record["via"] for record in records(api, owner=who)].count("key") == 1


class TestReads:
    """An admin who looks at other people's keys."""

    def test_one_key(self, api: Api) -> None:
        who = somebody()
        key = api.mint(user=who)
        assert api.call("GET", f"/v1/api-keys/{key['id']}", user=who).status_code == 200
        assert api.call("GET", f"/v1/api-keys/{key['id']}", **ADMIN).status_code == 200
        assert api.call("GET", f"/v1/api-keys/{key['id']}", user="eve").status_code == 404
        (made,) = records(api, action="read", owner=who)
        assert (made["actor"], made["keyIds"]) == ("root", [key["id"]])

    def test_a_search_names_the_others_that_it_showed(self, api: Api) -> None:
        who = somebody()
        keys = sorted(api.mint(user=who)["id"] for _ in range(3))
        for user in (who, "root"):
            assert api.call("POST", "/v1/api-keys/search", {"filters": {"username": who}}, user=user).status_code == 200
        (made,) = records(api, action="search", owner=who)
        assert (made["actor"], sorted(made["keyIds"])) == ("root", keys)

    def test_one_that_cannot_be_recorded_is_not_answered(self, api: Api) -> None:
        key = api.mint(user=somebody())
        away = ("ALTER TABLE maas_audit RENAME TO maas_away", "ALTER TABLE maas_away RENAME TO maas_audit")
        api.sql(away[0])
        try:
            answer = api.call("GET", f"/v1/api-keys/{key['id']}", **ADMIN)
            assert (answer.status_code, answer.json()) == (500, {"error": "Failed to retrieve API key"})
            assert api.call("DELETE", f"/v1/api-keys/{key['id']}", **ADMIN).status_code == 500
        finally:
            api.sql(away[1])
        assert api.call("GET", f"/v1/api-keys/{key['id']}", **ADMIN).json()["status"] == "active"


@pytest.mark.parametrize(
    ("method", "path", "body", "user"),
    [
        ("PUT", "/v1/api-keys/{id}/budget", BUDGET, "{who}"),
        ("POST", "/v1/api-keys/{id}/rotate", None, "root"),
        ("POST", "/v1/api-keys/bulk-revoke", {"username": "{who}"}, "eve"),
        ("POST", "/v1/api-keys/search", {"filters": {"username": "{who}"}}, "eve"),
    ],
)
def test_what_somebody_had_no_right_to_is_recorded_as_refused(
    api: Api, method: str, path: str, body: Any, user: str
) -> None:
    who = somebody()
    key = api.mint(user=who)
    sent = json.loads(json.dumps(body).replace("{who}", who))
    answer = api.call(method, path.format(id=key["id"]), sent, user=user.format(who=who))
    assert answer.status_code == 403
    (made,) = records(api, outcome="refused", owner=who)
    assert made["actor"] == user.format(who=who)


def test_no_secret_is_in_it(api: Api) -> None:
    who = somebody()
    keys = [api.mint(user=who, name="sk-oai-0123456789abc_defghijklmnopqrstuvwxyz")]
    bearer = {"Authorization": f"Bearer {keys[0]['key']}"}
    api.call("POST", "/v1/api-keys", {"name": keys[0]["key"]}, user=who, headers=bearer)
    keys.append(api.call("POST", f"/v1/api-keys/{keys[0]['id']}/rotate", user=who).json())
    with api.database.reading() as connection:
        tables = [sa.text(f"SELECT * FROM {table}") for table in ("maas_audit", "maas_audit_keys")]
        rows = [str(row) for table in tables for row in connection.execute(table)]
        hashes = list(connection.execute(sa.text("SELECT key_hash FROM api_keys")).scalars())
    text = "\n".join(rows)
    for secret in [*(key["key"].rpartition("_")[2] for key in keys), *hashes]:
        assert secret not in text


class TestReading:
    """``GET /v1/audit``."""

    def test_it_is_for_admins(self, api: Api) -> None:
        answer = api.call("GET", "/v1/audit")
        assert answer.status_code == 403
        assert "admin" in answer.json()["error"]
        assert api.http.get("/v1/audit").status_code == 401

    def test_pages_are_newest_first_and_do_not_overlap(self, api: Api) -> None:
        who = somebody()
        ids = [api.mint(user=who)["id"] for _ in range(7)]
        seen: list[str] = []
        after: dict[str, str] = {}
        while True:
            answer = api.http.get(
                "/v1/audit", params={"owner": who, "limit": 3, **after},
                headers={"X-MaaS-Username": "root", "X-MaaS-Group": '["a"]'},
            ).json()  # fmt: skip
            seen += [record["keyIds"][0] for record in answer["data"]]
            assert ("next" in answer) is answer["has_more"]
            if not answer["has_more"]:
                break
            after = {"after": answer["next"]}
        assert seen == ids[::-1]

    def test_each_filter_finds_what_it_says(self, api: Api) -> None:
        who = somebody()
        key = api.mint(user=who)
        answer = api.call("DELETE", f"/v1/api-keys/{key['id']}", **ADMIN)
        revoked, minted = records(api, key=key["id"])
        assert (revoked["action"], minted["action"]) == ("revoke", "mint")
        assert records(api, requestId=answer.headers["x-request-id"]) == [revoked]
        assert records(api, owner=who, action="mint") == [minted]
        assert records(api, actor=who) == [minted]
        assert records(api, owner=who, **{"from": revoked["at"]}) == [revoked]
        assert records(api, owner=who, to=revoked["at"]) == [minted]
        assert records(api, key="unknown") == []

    @pytest.mark.parametrize(
        ("asked", "said"),
        [
            ({"who": "ann"}, "who: there is no such parameter"),
            ({"action": "steal"}, "action: must be one of mint"),
            ({"limit": "0"}, "limit: must be a whole number from 1 to 1000"),
            ({"limit": "1001"}, "limit: must be"),
            ({"from": "yesterday"}, "from: must be a day"),
            ({"from": "2026-02-02", "to": "2026-02-01"}, "from: must be before to"),
            ({"after": "x"}, "after: must be the next"),
            ({"actor": "a\0b"}, "actor: must not contain"),
            ({"actor": ["a", "b"]}, "actor: must be given once"),
        ],
    )
    def test_a_question_that_cannot_be_answered_says_why(self, api: Api, asked: dict[str, Any], said: str) -> None:
        answer = api.http.get("/v1/audit", params=asked, headers={"X-MaaS-Username": "root", "X-MaaS-Group": '["a"]'})
        assert answer.status_code == 400
        assert answer.json()["error"].startswith(said)

    def test_a_spreadsheet_gets_csv_and_takes_no_name_for_a_formula(self, api: Api) -> None:
        who = "=cmd()" + somebody()
        key = api.mint(user=who)
        answer = api.http.get(
            "/v1/audit", params={"owner": who},
            headers={"X-MaaS-Username": "root", "X-MaaS-Group": '["a"]', "Accept": "text/csv"},
        )  # fmt: skip
        assert answer.headers["content-type"].startswith("text/csv")
        (row,) = csv.DictReader(io.StringIO(answer.text))
        assert (row["action"], row["owner"], row["keyIds"]) == ("mint", "'" + who, key["id"])
