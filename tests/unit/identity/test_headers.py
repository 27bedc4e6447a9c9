"""The gateway's identity headers: who they name, and when they are refused."""

from __future__ import annotations

import json

import pytest

from maas_api.errors import ApiError
from maas_api.identity.headers import Identity, last_subscription, parse, parse_optional
from maas_api.subscriptions import select


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ('["a","b"]', ("a", "b")),
        ('[" a ", "", "b"]', ("a", "b")),
        ("[a b  c]", ("a", "b", "c")),
        ("[a,b c]", ("a,b", "c")),
        ("[1]", ("1",)),
        ("[1 true null]", ("1", "true", "null")),
        ('[null, "a"]', ("a",)),
    ],
)
def test_groups_are_a_json_array_or_a_bracketed_list(group: str, expected: tuple[str, ...]) -> None:
    assert parse([" alice "], [group]) == Identity("alice", expected)


@pytest.mark.parametrize(
    ("usernames", "groups", "ref"),
    [
        ([], ['["a"]'], "001"),
        (["  "], ['["a"]'], "001"),
        (["alice"], [], "002"),
        (["alice"], ["  "], "002"),
        (["alice"], ["a"], "003"),
        (["alice"], ["[]"], "003"),
        (["alice"], ['[" "]'], "003"),
        (["alice"], ["[null]"], "003"),
        (["alice"], ['{"a":1}'], "003"),
        (["alice"], ['"a"'], "003"),
        (["alice"], ["[" * 100_000], "003"),
    ],
)
def test_a_missing_or_malformed_identity_is_401_and_says_which(
    usernames: list[str], groups: list[str], ref: str
) -> None:
    with pytest.raises(ApiError) as refusal:
        parse(usernames, groups)
    assert refusal.value.status == 401
    assert refusal.value.body["exceptionCode"] == "AUTH_FAILURE"
    assert refusal.value.body["refId"] == ref


def test_of_repeated_headers_the_first_counts() -> None:
    assert parse(["alice", "root"], ['["users"]', '["admins"]']) == Identity("alice", ("users",))


def test_no_header_at_all_is_an_anonymous_caller_where_that_is_allowed() -> None:
    assert parse_optional([], []) is None
    with pytest.raises(ApiError):
        parse_optional(["alice"], [])


def test_the_last_subscription_that_is_not_blank_wins() -> None:
    assert last_subscription(["free", "gold, "]) == "gold"
    assert last_subscription([" , ", ""]) == ""


def _received(value: str) -> str:
    """A header's value as HTTP servers give it: one character per byte."""
    return value.encode().decode("latin-1")


def test_names_beyond_ascii_are_the_utf_8_that_gateways_write() -> None:
    """A database of the Go service holds them so; read byte by byte, their owners would not find their keys."""
    assert parse([_received("zoë")], [_received('["équipe"]')]) == Identity("zoë", ("équipe",))
    assert parse([_received("用户")], [_received("[équipe b]")]) == Identity("用户", ("équipe", "b"))


@pytest.mark.parametrize(("usernames", "groups"), [(["zo\xeb"], ['["a"]']), (["zoe"], ['["\xe9quipe"]'])])
def test_what_is_not_utf_8_names_nobody(usernames: list[str], groups: list[str]) -> None:
    with pytest.raises(ApiError) as refused:
        parse(usernames, groups)
    assert refused.value.status == 401


@pytest.mark.parametrize("space", ["\u00a0", "\u2003", "\u0085", "\u3000"])
def test_a_name_that_ends_in_a_foreign_space_does_not_become_the_one_without_it(space: str) -> None:
    """Whoever may call a group so in an identity provider must not be in the group called like it."""
    escaped = json.dumps([f"admins{space}"])
    assert parse([_received(f"alice{space}")], [escaped]) == Identity(f"alice{space}", (f"admins{space}",))
    assert "admins" not in parse(["alice"], [_received(f"[x{space}admins{space}]")]).groups
    assert select.parse(json.dumps({"username": "alice", "groups": [f"admins{space}"]}).encode()).who.groups == (
        f"admins{space}",
    )
