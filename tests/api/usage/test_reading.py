"""Reading usage: sums by time and by what was asked for, and nobody's but one's own."""

from __future__ import annotations

import csv
import io
import itertools
import time
from typing import Any

import pytest
import sqlalchemy as sa

from tests.api.usage.conftest import Api
from tests.support.contract import check
from tests.support.otlp import call

_users = (f"reader-{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def reader(api: Api) -> str:
    """A user with calls of two models through two providers, two hours apart."""
    user = next(_users)
    now = time.time()
    chat = call(user=user, key_id="k1", model="gpt-4o-mini")
    usage = {"input_tokens": 5, "cache_read_input_tokens": 90, "cache_creation_input_tokens": 5, "output_tokens": 7}
    messages = call(user=user, key_id="k2", model="claude", provider="anthropic", path="/v1/messages", usage=usage)
    api.count([chat] * 3, at=now)
    api.count([messages], at=now - 7200)
    api.count([call(user=user, key_id="k2", model="claude", provider="anthropic", status=529, usage={})], at=now)
    return user


def test_sums_by_model_over_the_whole_time(api: Api, reader: str) -> None:
    found = api.usage(user=reader, interval="total", groupBy="model")
    claude, gpt = found["data"]
    assert (claude["model"], claude["requests"], claude["errors"]) == ("claude", 2, 1)
    assert (claude["inputTokens"], claude["cachedInputTokens"], claude["cacheWriteTokens"]) == (100, 90, 5)
    assert (gpt["inputTokens"], gpt["outputTokens"], gpt["averageDurationMs"]) == (30, 15, 900)
    assert found["total"]["totalTokens"] == 152
    assert "start" not in claude


def test_sums_by_the_hour(api: Api, reader: str) -> None:
    found = api.usage(user=reader, interval="hour")["data"]
    assert [line["requests"] for line in found] == [1, 4]
    assert all(line["start"].endswith(":00:00Z") for line in found)


def test_every_dimension_can_be_grouped_and_filtered_by(api: Api, reader: str) -> None:
    expected = {
        "key": ("k2", 2),
        "user": (reader, 5),
        "subscription": ("gold", 5),
        "model": ("claude", 2),
        "provider": ("anthropic", 2),
        "endpoint": ("messages", 1),
    }
    for name, (value, requests) in expected.items():
        query = {"interval": "total", "groupBy": name, name: value}
        found = api.ask(reader, query).json()
        assert [(line[name], line["requests"]) for line in found["data"]] == [(value, requests)]


def test_months_and_days_are_utc_s(api: Api, reader: str) -> None:
    (line,) = [item for item in api.usage(user=reader, interval="month")["data"] if item["requests"] >= 4]
    assert line["start"].endswith("-01T00:00:00Z")


def test_of_nothing_there_are_no_lines_and_a_total_of_zero(api: Api) -> None:
    found = api.usage(user="nobody", interval="total")
    assert (found["data"], found["total"]["requests"]) == ([], 0)
    assert found["total"]["averageDurationMs"] is None


def test_csv_is_given_to_who_accepts_it(api: Api, reader: str) -> None:
    answer = api.get("/v1/usage", user=reader, accept="text/csv", groupBy="key,model", interval="total")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert answer.headers["cache-control"] == "no-store"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["key"], row["model"], row["totalTokens"]) for row in rows] == [
        ("k1", "gpt-4o-mini", "45"),
        ("k2", "claude", "107"),
    ]


def test_a_cell_of_a_csv_is_never_a_formula(api: Api) -> None:
    user = next(_users)
    api.count([call(user=user, model='=HYPERLINK("http://x")')])
    answer = api.get("/v1/usage", user=user, accept="text/csv", groupBy="model", interval="total")
    assert next(csv.DictReader(io.StringIO(answer.text)))["model"] == '\'=HYPERLINK("http://x")'


def test_a_wrong_question_is_400_with_its_rule(api: Api) -> None:
    answer = api.get("/v1/usage", intervall="day")
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("intervall: there is no such parameter")
    check("GET", "/v1/usage", 400, answer.json())


def test_names_and_labels_stay_readable_after_the_key_is_gone(api: Api) -> None:
    user = next(_users)
    made = api.mint("nightly", user=user, labels={"team": "blue"})
    api.count([call(user=user, key_id=made["id"])])
    with api.database.writing() as connection:
        connection.execute(sa.text("DELETE FROM api_keys WHERE id = :id"), {"id": made["id"]})
    (line,) = api.usage(user=user, groupBy="key", interval="total")["data"]
    assert (line["key"], line["keyName"], line["keyLabels"]) == (made["id"], "nightly", {"team": "blue"})
    answer = api.get(f"/v1/api-keys/{made['id']}/usage", user=user)
    assert answer.json()["total"]["requests"] == 1


def test_a_key_s_usage(api: Api) -> None:
    user = next(_users)
    made, other = api.mint(user=user), api.mint(user=user)
    api.count([call(user=user, key_id=made["id"]), call(user=user, key_id=other["id"])])
    answer = api.get(f"/v1/api-keys/{made['id']}/usage", user=user, interval="total")
    assert answer.json()["total"]["requests"] == 1
    check("GET", "/v1/api-keys/{id}/usage", 200, answer.json())
    refused = api.get(f"/v1/api-keys/{made['id']}/usage", user=user, key=other["id"])
    assert (refused.status_code, refused.json()) == (400, {"error": "key: the path names the key already"})


# Who reads what ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two(api: Api) -> dict[str, Any]:
    """Two users with a key each, each used."""
    alice, bob = next(_users), next(_users)
    keys = {user: api.mint(user=user)["id"] for user in (alice, bob)}
    api.count([call(user=user, key_id=key, subscription=f"of-{user}") for user, key in keys.items()])
    return {"alice": alice, "bob": bob, "keys": keys}


def test_nobody_reads_what_is_another_s(api: Api, two: dict[str, Any]) -> None:
    alice, bob, keys = two["alice"], two["bob"], two["keys"]
    filters = [
        {},
        {"key": keys[bob]},
        {"subscription": f"of-{bob}"},
        {"key": [keys[alice], keys[bob]]},
        {"model": "gpt-4o-mini"},
    ]
    for interval in ("hour", "day", "month", "total"):
        for only in filters:
            found = api.usage(user=alice, interval=interval, groupBy="user,key,subscription", **only)
            assert {line["user"] for line in found["data"]} <= {alice}
            assert found["total"]["requests"] <= 1
    assert api.usage(user=alice, key=keys[bob])["total"]["requests"] == 0
    for named in (bob, [alice, bob], "no-such-user", ""):
        refused = api.ask(alice, {"user": named})
        assert refused.status_code == 403
        assert refused.json() == {"error": "non-admin users can only read their own usage"}


def test_another_s_key_and_no_key_are_answered_alike(api: Api, two: dict[str, Any]) -> None:
    theirs = api.get(f"/v1/api-keys/{two['keys'][two['bob']]}/usage", user=two["alice"])
    nobodys = api.get("/v1/api-keys/9d3cf2f2-0000-0000-0000-000000000000/usage", user=two["alice"])
    odd = api.get("/v1/api-keys/%00/usage", user=two["alice"])
    assert {(answer.status_code, answer.text) for answer in (theirs, nobodys, odd)} == {
        (404, '{"error":"API key not found"}')
    }


def test_an_admin_reads_all_of_the_tenant(api: Api, two: dict[str, Any]) -> None:
    found = api.usage(user="root", groupBy="user", interval="total")
    assert {two["alice"], two["bob"]} <= {line["user"] for line in found["data"]}
    answer = api.get(f"/v1/api-keys/{two['keys'][two['bob']]}/usage", user="root")
    assert answer.json()["total"]["requests"] == 1


def test_another_tenant_s_usage_is_not_there(api: Api, two: dict[str, Any]) -> None:
    with api.database.writing() as connection:
        connection.execute(
            sa.text("UPDATE maas_usage SET tenant = 'other' WHERE username = :user"), {"user": two["bob"]}
        )
    try:
        assert api.usage(user=two["bob"])["total"]["requests"] == 0
    finally:
        with api.database.writing() as connection:
            connection.execute(
                sa.text("UPDATE maas_usage SET tenant = 'models-as-a-service' WHERE username = :user"),
                {"user": two["bob"]},
            )


def test_without_an_identity_nothing_is_read(api: Api) -> None:
    for path in ("/v1/usage", "/v1/api-keys/x/usage"):
        assert api.get(path, user=None).status_code == 401
