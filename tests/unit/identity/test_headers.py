"""The gateway's identity headers: who they name, and when they are refused."""

from __future__ import annotations

import pytest

from maas_api.errors import ApiError
from maas_api.identity.headers import Identity, last_subscription, parse, parse_optional


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ('["a","b"]', ("a", "b")),
        ('[" a ", "", "b"]', ("a", "b")),
        ("[a b  c]", ("a", "b", "c")),
        ("[a,b c]", ("a,b", "c")),
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
        (["alice"], ["[1]"], "003"),
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
