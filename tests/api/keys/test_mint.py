"""Minting: the order of the checks, what each refuses, and what a new key is."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from maas_api.keys import format as key_format
from tests.api.keys.conftest import Api

CREATE = "/v1/api-keys"


def refusal(api: Api, body: Any, **more: Any) -> tuple[int, str]:
    answer = api.call("POST", CREATE, body, **more)
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    return answer.status_code, answer.json()["error"]


def test_a_new_key_is_shown_once_and_validates(api: Api) -> None:
    made = api.mint("  my key ", expiresIn="30d", labels={"team.io/app": "x"}, description="why")
    assert set(made) == {
        *("key", "keyPrefix", "id", "name", "subscription", "createdAt", "expiresAt", "ephemeral", "labels")
    }
    assert made["name"] == "my key"
    assert made["subscription"] == "default"
    assert made["ephemeral"] is False
    assert made["key"].startswith(made["keyPrefix"].removesuffix("..."))
    for moment in (made["createdAt"], made["expiresAt"]):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", moment)
    assert api.validate(made["key"]) == {
        "valid": True,
        "userId": made["id"],
        "username": "ann",
        "keyId": made["id"],
        "keyName": "my key",
        "groups": ["team"],
        "subscription": "default",
        "tenant": "models-as-a-service",
    }


def test_of_repeated_headers_that_say_who_asks_the_first_counts(api: Api) -> None:
    said = [("X-MaaS-Username", "ann"), ("X-MaaS-Username", "root"), ("X-MaaS-Group", '["team"]'),
            ("X-MaaS-Group", '["admins"]')]  # fmt: skip
    made = api.http.post(CREATE, json={"name": "k"}, headers=said)
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    assert api.validate(made.json()["key"])["username"] == "ann"
    assert api.validate(made.json()["key"])["groups"] == ["team"]


def test_of_two_keys_that_are_presented_neither_mints(api: Api) -> None:
    keys = [api.mint()["key"] for _ in range(2)]
    said = [("X-MaaS-Username", "ann"), ("X-MaaS-Group", '["team"]')]
    answer = api.http.post(
        CREATE, json={"name": "k"}, headers=[*said, *(("Authorization", f"Bearer {key}") for key in keys)]
    )
    assert (answer.status_code, answer.headers["cache-control"]) == (401, "no-store")


def test_the_store_holds_a_hash_and_neither_key_nor_prefix(api: Api) -> None:
    made = api.mint()
    with api.database.reading() as connection:
        rows = [tuple(map(str, row)) for row in connection.exec_driver_sql("SELECT * FROM api_keys")]
    stored = json.dumps([row for row in rows if made["id"] in row])
    assert key_format.hash_key(made["key"]) in stored
    assert made["key"] not in stored
    assert made["keyPrefix"].removesuffix("...") not in stored


def test_an_ephemeral_key_needs_no_name_and_lives_an_hour_at_most(api: Api) -> None:
    answer = api.call("POST", CREATE, {"ephemeral": True})
    made = answer.json()
    assert re.fullmatch(r"ephemeral-\d{19}", made["name"])
    assert made["ephemeral"] is True
    assert "labels" not in made
    status, text = refusal(api, {"ephemeral": True, "expiresIn": "2h"})
    assert (status, text) == (
        400,
        "ephemeral key expiration (2h0m0s) cannot exceed 1h0m0s: expiration exceeds maximum allowed",
    )


LONG = "x" * 129
CASES: list[tuple[Any, str]] = [
    (b"", "EOF: the body is empty, it must be a JSON object"),
    (b"   ", "EOF: the body is empty, it must be a JSON object"),
    (b"{", "unexpected EOF: body must be a complete JSON object"),
    (b'{"name": x}', "body must be a JSON object: Expecting value at line 1 column 10"),
    (b"[]", "body must be a JSON object, got array"),
    (b'"text"', "body must be a JSON object, got string"),
    (b'{"name": NaN}', "body must be JSON, and JSON has no NaN"),
    (b"[" * 3_000, "body must not have more than 100 arrays and objects within each other"),
    (
        b'{"labels":' + b"[" * 1_900 + b'"\\u0041"' + b"]" * 1_900 + b"}",
        "body must not have more than 100 arrays and objects within each other",
    ),
    (b"[" * 100_000, "body must not have more than 4000 strings and punctuation marks"),
    ({"name": 5}, "name: must be a string, got number"),
    ({"name": "n", "ephemeral": "yes"}, "ephemeral: must be true or false, got string"),
    ({"name": "n", "labels": []}, "labels: must be an object of strings, got array"),
    ({"name": "n", "labels": {"a": 1}}, "labels: must be an object of strings, 'a' is number"),
    ({}, "name is required for non-ephemeral keys"),
    ({"name": ""}, "name is required for non-ephemeral keys"),
    ({"name": None}, "name is required for non-ephemeral keys"),
    ({"name": " ", "labels": {"": "v"}}, "label keys cannot be empty"),
    ({"name": "n", "labels": {f"k{i}": "v" for i in range(51)}}, "labels cannot exceed 50 key-value pairs"),
    ({"name": "n", "labels": {"k" * 129: "v"}}, f"label key '{'k' * 129}' exceeds 128 characters"),
    (
        {"name": "n", "labels": {"-k": "v"}},
        "label key '-k' contains invalid characters (only alphanumerics, dots, underscores, hyphens allowed)",
    ),
    (
        {"name": "n", "labels": {"k\n": "v"}},
        "label key 'k\n' contains invalid characters (only alphanumerics, dots, underscores, hyphens allowed)",
    ),
    ({"name": "n", "labels": {"k": ""}}, "label value for key 'k' cannot be empty"),
    ({"name": "n", "labels": {"k": None}}, "label value for key 'k' cannot be empty"),
    ({"name": "n", "labels": {"k": "é" * 513}}, "label value for key 'k' exceeds 1024 characters"),
    ({"name": "n", "labels": {"k": "a\tb"}}, "label value for key 'k' contains invalid control characters"),
    ({"name": " \t "}, "key name cannot be whitespace only"),
    ({"name": LONG}, "key name cannot exceed 128 characters"),
    ({"name": "a\u0000b"}, "key name contains invalid control characters"),
    ({"name": "a\u007fb"}, "key name contains invalid control characters"),
    ({"name": "n", "description": "a\u0000b"}, "description must not contain U+0000"),
    ({"name": "n", "models": []}, "models must name at least one model; leave it out to allow every model"),
    (
        {"name": "n", "models": ["a*b"]},
        "models entry \"a*b\" must be a model id without spaces; '*' may only be its last character",
    ),
    ({"name": "n", "models": "gpt"}, "models: must be an array of strings, got string"),
    (
        {"name": "n", "expiresIn": True},
        "invalid duration: expiresIn must be a string or a number of seconds, got true",
    ),
    ({"name": "n", "expiresIn": {}}, "invalid duration: expiresIn must be a string or a number of seconds, got []"),
    (
        {"name": "n", "expiresIn": "1d12h"},
        "invalid duration: expiresIn must be a number of days such as 30d, or hours, minutes and seconds"
        ' such as 1h30m, got "1d12h"',
    ),
    ({"name": "n", "expiresIn": 0}, "expiration must be positive"),
    ({"name": "n", "expiresIn": ""}, "expiration must be positive"),
    ({"name": "n", "expiresIn": "-1h"}, "expiration must be positive"),
    (
        {"name": "n", "expiresIn": "91d"},
        "requested expiration (2184h0m0s) exceeds maximum allowed (90 days): expiration exceeds maximum allowed",
    ),
    ({"name": "n", "subscription": "other"}, "Unable to resolve a subscription for this API key"),
]


@pytest.mark.parametrize(("body", "said"), CASES)
def test_what_is_refused_and_how_it_is_said(api: Api, body: Any, said: str) -> None:
    assert refusal(api, body) == (400, said)


ORDER: list[tuple[dict[str, Any], str]] = [
    ({"name": 1}, "name: must be"),
    ({"name": ""}, "name is required"),
    ({"labels": {"": ""}}, "label keys"),
    ({"name": " "}, "whitespace only"),
    ({}, "groups must"),
    ({"expiresIn": -1}, "must be positive"),
    ({"subscription": "other"}, "Unable to resolve"),
]


@pytest.mark.parametrize("first", range(len(ORDER)))
def test_the_first_broken_rule_in_the_contract_s_order_is_the_one_named(api: Api, first: int) -> None:
    fine = {"name": "n", "labels": {"k": "v"}, "expiresIn": "1h", "subscription": "default"}
    broken: dict[str, Any] = dict(fine)
    for fields, _said in reversed(ORDER[first:]):
        broken |= fields
    groups = '["ok"]' if first > 4 else '["not,ok"]'
    status, text = refusal(api, broken, groups=groups)
    assert status == 400
    assert ORDER[first][1] in text


@pytest.mark.parametrize("expires_in", [None, "90d", 7_776_000, "2160h", "1.5h", 0.5])
def test_lives_up_to_the_cap_are_accepted(api: Api, expires_in: Any) -> None:
    assert api.mint(expiresIn=expires_in)["expiresAt"]


def test_bodies_are_read_as_the_go_decoder_reads_them(api: Api) -> None:
    body = b'{"NAME": "first", "Name": "se\xffcond", "expiresin": null} trailing {'
    answer = api.call("POST", CREATE, body, headers={"Content-Type": "text/plain"})
    assert answer.status_code == 201
    assert answer.json()["name"] == "se\ufffdcond"


def test_a_lone_surrogate_is_replaced_and_not_a_fault(api: Api) -> None:
    answer = api.call("POST", CREATE, b'{"name": "a\\ud800b"}')
    assert (answer.status_code, answer.json()["name"]) == (201, "a\ufffdb")


@pytest.mark.parametrize(
    ("user", "groups", "reference"),
    [(None, "", "001"), ("", '["a"]', "001"), ("ann", "", "002"), ("ann", "word", "003"), ("ann", "[]", "003")],
)
def test_without_an_identity_there_is_no_key(api: Api, user: str | None, groups: str, reference: str) -> None:
    answer = api.call("POST", CREATE, {"name": "n"}, user=user, groups=groups)
    assert (answer.status_code, answer.json()["refId"]) == (401, reference)


def test_the_configuration_says_the_limits(api: Api) -> None:
    answer = api.call("GET", "/v1/api-keys/config")
    assert answer.json() == {"max_expiration_days": 90, "ephemeral_max_expiration": "1h0m0s"}
    assert api.call("GET", "/v1/api-keys/config", user=None).status_code == 401


@pytest.mark.parametrize(
    ("field", "meant"),
    [("model", "models"), ("expires_in", "expiresIn"), ("Label", "labels"), ("sub-scription", "subscription")],
)
def test_a_misspelt_field_makes_no_key_and_is_named(api: Api, field: str, meant: str) -> None:
    """An allow-list or a life that is ignored would make a key that opens everything for ninety days."""
    assert refusal(api, {"name": "n", field: ["gpt-4o"]}) == (
        400,
        f"{field}: there is no such field; did you mean {meant!r}?",
    )
