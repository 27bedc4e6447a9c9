"""Many keys: search with every filter, bulk revocation, and the platform's own endpoints."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.api.keys.conftest import Api
from tests.support.wait import until

SEARCH = "/v1/api-keys/search"
_users = (f"user-{number}" for number in itertools.count())


def search(api: Api, user: str, **body: Any) -> list[str]:
    """The names found, in order."""
    answer = api.call("POST", SEARCH, body, user=user)
    assert answer.status_code == 200, answer.text
    assert answer.json()["object"] == "list"
    return [item["name"] for item in answer.json()["data"]]


def set_time(api: Api, made: dict[str, Any], column: str, moment: str | None) -> None:
    value = None if moment is None else moment + ("+00" if api.database.postgres else "")
    cast = "CAST(:at AS timestamptz)" if api.database.postgres else ":at"
    api.sql(f"UPDATE api_keys SET {column} = {cast} WHERE id = :id", at=value, id=made["id"])


@pytest.fixture(scope="module")
def shelf(api: Api) -> str:
    """A user with one key of every kind."""
    user = next(_users)
    days = [f"2026-01-0{day} 00:00:00.000000" for day in range(1, 7)]
    active = api.mint("Alpha 100%", user=user, labels={"team.io/a": "1", "b": "2"}, description="Blue Whale")
    used = api.mint("beta_x", user=user, labels={"b": "2"})
    revoked = api.mint("gamma", user=user)
    expired = api.mint("delta", user=user)
    api.mint("ephemeral", user=user, ephemeral=True)
    forever = api.mint("forever", user=user, description="blue jay")
    api.call("DELETE", f"/v1/api-keys/{revoked['id']}", user=user)
    for made, day in zip((active, used, revoked, expired, forever), days, strict=False):
        set_time(api, made, "created_at", day)
    set_time(api, expired, "expires_at", days[4])
    set_time(api, forever, "expires_at", None)
    set_time(api, used, "last_used_at", days[5])
    api.sql("UPDATE api_keys SET subscription = 'gold' WHERE id = :id", id=used["id"])
    return user


ALL = ["forever", "delta", "gamma", "beta_x", "Alpha 100%"]
FILTERS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ALL),
    ({"status": []}, ALL),
    ({"status": ["active"]}, ["forever", "beta_x", "Alpha 100%"]),
    ({"status": [" revoked "]}, ["gamma"]),
    ({"status": ["expired", "revoked"]}, ["delta", "gamma"]),
    ({"subscription": "gold"}, ["beta_x"]),
    ({"includeEphemeral": True}, ["ephemeral", *ALL]),
    ({"labelsContain": {"b": "2"}}, ["beta_x", "Alpha 100%"]),
    ({"labelsContain": {"b": "2", "team.io/a": "1"}}, ["Alpha 100%"]),
    ({"labelsContain": {"b": "3"}}, []),
    ({"nameContains": "ETA"}, ["beta_x"]),
    ({"nameContains": "0%"}, ["Alpha 100%"]),
    ({"nameContains": "_"}, ["beta_x"]),
    ({"descriptionContains": "blue"}, ["forever", "Alpha 100%"]),
    ({"createdAfter": "2026-01-03T00:00:00Z"}, ["forever", "delta"]),
    ({"createdBefore": "2026-01-02T01:00:00+01:00"}, ["Alpha 100%"]),
    ({"expiresBefore": "2026-01-06T00:00:00Z"}, ["delta"]),
    ({"expiresAfter": "2026-01-06T00:00:00Z"}, ["gamma", "beta_x", "Alpha 100%"]),
    ({"lastUsedAfter": "2026-01-05T00:00:00Z"}, ["beta_x"]),
    ({"lastUsedBefore": "2026-01-05T00:00:00Z"}, []),
    ({"hasExpiration": False}, ["forever"]),
    ({"hasExpiration": True}, ["delta", "gamma", "beta_x", "Alpha 100%"]),
    ({"hasBeenUsed": True}, ["beta_x"]),
    ({"hasBeenUsed": False}, ["forever", "delta", "gamma", "Alpha 100%"]),
]


@pytest.mark.parametrize(("filters", "found"), FILTERS)
def test_every_filter_filters(api: Api, shelf: str, filters: dict[str, Any], found: list[str]) -> None:
    assert search(api, shelf, filters=filters) == found


@pytest.mark.parametrize(
    ("by", "order", "first", "last"),
    [
        ("created_at", "asc", "Alpha 100%", "forever"),
        ("created_at", " DESC ", "forever", "Alpha 100%"),
        ("name", "asc", "Alpha 100%", "gamma"),
        ("name", "desc", "gamma", "Alpha 100%"),
        ("expires_at", "asc", "delta", "forever"),
        ("expires_at", "desc", None, "forever"),
        ("last_used_at", "asc", "beta_x", None),
        ("last_used_at", "desc", "beta_x", None),
    ],
)
def test_every_order_puts_what_has_no_value_last(
    api: Api, shelf: str, by: str, order: str, first: str | None, last: str | None
) -> None:
    found = search(api, shelf, sort={"by": by, "order": order})
    assert sorted(found) == sorted(ALL)
    assert first in (None, found[0])
    assert last in (None, found[-1])


def test_pages_cover_everything_once_even_where_all_values_are_equal(api: Api) -> None:
    user = next(_users)
    made = [api.mint("same", user=user) for _ in range(7)]
    for one in made:
        set_time(api, one, "created_at", "2026-02-01 00:00:00.000000")
    seen: list[str] = []
    for offset in range(0, 8, 2):
        answer = api.call("POST", SEARCH, {"pagination": {"limit": 2, "offset": offset}}, user=user).json()
        seen += [item["id"] for item in answer["data"]]
        assert answer["has_more"] is (offset < 6)
    assert sorted(seen) == sorted(one["id"] for one in made)
    assert seen == sorted(seen)


def test_an_explicit_page_without_a_limit_takes_the_default(api: Api, shelf: str) -> None:
    assert search(api, shelf, pagination={"offset": 1}) == ALL[1:]
    assert search(api, shelf, pagination={"limit": 5_000}) == ALL


REFUSALS: list[tuple[Any, int, str]] = [
    (b"", 400, "EOF: the body is empty, it must be a JSON object"),
    ({"filters": {"colour": "red"}}, 400, "filters.colour: there is no such field"),
    ({"colour": "red"}, 400, "colour: there is no such field"),
    ({"pagination": {"cursor": "x"}}, 400, "pagination.cursor: there is no such field"),
    ({"filters": {"status": ["Active"]}}, 400, "invalid status 'Active': must be active, revoked, or expired"),
    ({"filters": {"status": "active"}}, 400, "filters.status: must be an array of strings, got string"),
    ({"filters": {"username": "root"}}, 403, "non-admin users can only search their own API keys"),
    ({"filters": {"username": "a\0"}}, 400, "filters.username: must not contain U+0000"),
    ({"sort": {"by": "id"}}, 400, "invalid sort.by: must be one of: created_at, expires_at, last_used_at, name"),
    ({"sort": {"order": "up"}}, 400, "invalid sort.order: must be asc or desc"),
    ({"pagination": {"limit": 0}}, 400, "pagination.limit must be at least 1"),
    ({"pagination": {"offset": -1}}, 400, "pagination.offset must be non-negative"),
    ({"filters": {"labelsContain": {"k": ""}}}, 400, "label value for key 'k' cannot be empty"),
    (
        {"filters": {"createdAfter": "2026-01-01"}},
        400,
        "filters.createdAfter: must be a time with an offset such as 2026-03-15T00:00:00Z, got '2026-01-01'",
    ),
]


@pytest.mark.parametrize(("body", "status", "said"), REFUSALS)
def test_what_a_search_refuses(api: Api, body: Any, status: int, said: str) -> None:
    answer = api.call("POST", SEARCH, body)
    assert (answer.status_code, answer.json()["error"]) == (status, said)
    assert answer.headers["cache-control"] == "no-store"


def test_the_first_broken_rule_of_a_search_is_the_one_named(api: Api) -> None:
    steps: list[tuple[dict[str, Any], str]] = [
        ({"filters": {"status": ["x"], "username": "root", "labelsContain": {"": ""}}}, "invalid status"),
        ({"filters": {"username": "root", "labelsContain": {"": ""}}}, "non-admin"),
        ({"filters": {"labelsContain": {"": ""}}, "sort": {"by": "x", "order": "x"}}, "sort.by"),
        ({"filters": {"labelsContain": {"": ""}}, "sort": {"order": "x"}}, "sort.order"),
        ({"filters": {"labelsContain": {"": ""}}, "pagination": {"limit": 0, "offset": -1}}, "limit"),
        ({"filters": {"labelsContain": {"": ""}}, "pagination": {"offset": -1}}, "offset"),
        ({"filters": {"labelsContain": {"": ""}}}, "label"),
    ]
    rest = {"sort": {"by": "x", "order": "x"}, "pagination": {"limit": 0, "offset": -1}}
    for body, said in steps[:2]:
        assert said in api.call("POST", SEARCH, {**rest, **body}).json()["error"]
    for body, said in steps[2:]:
        assert said in api.call("POST", SEARCH, body).json()["error"]


def test_nobody_in_particular_finds_nothing_and_no_body_is_read(api: Api) -> None:
    answer = api.call("POST", SEARCH, b"{broken", user=None)
    assert (answer.status_code, answer.json()) == (200, {"object": "list", "data": [], "has_more": False})
    assert api.call("POST", SEARCH, {}, user="nobody").json() == {"object": "list", "data": [], "has_more": False}


def test_an_admin_sees_the_tenant_and_others_see_themselves(api: Api) -> None:
    one, other = next(_users), next(_users)
    api.mint("of one", user=one)
    api.mint("of other", user=other)
    assert search(api, one) == ["of one"]
    assert {"of one", "of other"} <= set(search(api, "root"))
    assert search(api, "root", filters={"username": one}) == ["of one"]


class TestBulkRevocation:
    """``POST /v1/api-keys/bulk-revoke``."""

    def call(self, api: Api, body: Any, user: str) -> tuple[int, Any]:
        answer = api.call("POST", "/v1/api-keys/bulk-revoke", body, user=user)
        return answer.status_code, answer.json()

    def test_a_user_revokes_all_of_their_own_and_only_those(self, api: Api) -> None:
        user, other = next(_users), next(_users)
        mine = [api.mint(user=user), api.mint(user=user, ephemeral=True)]
        theirs = api.mint(user=other)
        for made in [*mine, theirs]:
            assert api.validate(made["key"])["valid"] is True
        dry = f"Dry run: 2 active key(s) would be revoked for user {user}"
        assert self.call(api, {"username": user, "dryRun": True}, user) == (
            200,
            {"revokedCount": 2, "message": dry, "dryRun": True},
        )
        assert api.validate(mine[0]["key"])["valid"] is True
        done = f"Successfully revoked 2 active API key(s) for user {user}"
        assert self.call(api, {"username": f" {user} "}, user) == (200, {"revokedCount": 2, "message": done})
        assert [api.validate(made["key"])["valid"] for made in mine] == [False, False]
        assert api.validate(theirs["key"])["valid"] is True

    def test_a_subscription_needs_an_admin_and_combines_with_a_user(self, api: Api) -> None:
        user = next(_users)
        made, kept = api.mint(user=user), api.mint(user=user)
        api.sql("UPDATE api_keys SET subscription = 'silver' WHERE id = :id", id=made["id"])
        denied = {"error": "Access denied: admin privileges required for this bulk revoke operation"}
        assert self.call(api, {"subscription": "silver"}, user) == (403, denied)
        assert self.call(api, {"username": user, "subscription": "silver"}, user) == (403, denied)
        assert self.call(api, {"username": user}, "somebody") == (403, denied)
        message = f"Successfully revoked 1 active API key(s) for user {user} in subscription silver"
        assert self.call(api, {"username": user, "subscription": "silver"}, "root") == (
            200,
            {"revokedCount": 1, "message": message},
        )
        assert api.validate(kept["key"])["valid"] is True

    @pytest.mark.parametrize("body", [{}, {"username": " "}, {"username": "", "subscription": ""}])
    def test_of_nothing_in_particular_is_refused(self, api: Api, body: Any) -> None:
        assert self.call(api, body, "root") == (400, {"error": "at least one of username or subscription is required"})


class TestPlatform:
    """Endpoints that only the platform's own components reach."""

    def test_the_sweep_deletes_ephemeral_keys_half_an_hour_past_their_expiry(self, api: Api) -> None:
        user = next(_users)
        old, recent = api.mint(user=user, ephemeral=True), api.mint(user=user, ephemeral=True, models=["m"])
        regular = api.mint(user=user)
        set_time(api, old, "expires_at", "2026-01-01 00:00:00.000000")
        set_time(api, regular, "expires_at", "2026-01-01 00:00:00.000000")
        answer = api.call("POST", "/internal/v1/api-keys/cleanup", b"", user=None).json()
        assert answer["deletedCount"] >= 1
        assert answer["message"] == f"Successfully deleted {answer['deletedCount']} expired ephemeral key(s)"
        status = {
            made["id"]: api.call("GET", f"/v1/api-keys/{made['id']}", user=user).status_code
            for made in (old, recent, regular)
        }
        assert status == {old["id"]: 404, recent["id"]: 200, regular["id"]: 200}
        assert api.validate(recent["key"])["models"] == ["m"]

    def test_the_end_of_a_tenant_names_the_tenant(self, api: Api) -> None:
        base = "/internal/v1/tenants"
        assert api.call("DELETE", f"{base}/other/api-keys").json() == {"error": "tenant mismatch"}
        assert api.call("DELETE", f"{base}/%20/api-keys").json() == {"error": "tenant is required"}

    def test_the_end_of_a_tenant_revokes_every_key(self, api: Api) -> None:
        made, user = api.mint(), next(_users)
        past = api.mint(user=user)
        set_time(api, past, "expires_at", "2026-01-01 00:00:00.000000")
        assert api.validate(made["key"])["valid"] is True
        answer = api.call("DELETE", "/internal/v1/tenants/models-as-a-service/api-keys").json()
        count = answer["revokedCount"]
        assert count >= 2
        assert answer["message"] == f"Successfully revoked {count} active API key(s) for tenant models-as-a-service"
        until(lambda: not api.validate(made["key"])["valid"], what="the key was refused")
        assert api.call("GET", f"/v1/api-keys/{past['id']}", user=user).json()["status"] == "revoked"
