"""Which subscription a new key is bound to."""

from __future__ import annotations

from typing import Any

import pytest

from maas_api.errors import ApiError
from maas_api.identity.headers import Identity
from maas_api.subscriptions.directory import Directory
from maas_api.subscriptions.resolve import Resolver
from tests.unit.subscriptions.objects import reference, subscription

ALICE = Identity("alice", ("team-a", "everyone"))

INVALID = (
    400,
    {"error": "Unable to resolve a subscription for this API key", "code": "invalid_subscription"},
)
FAILED = (
    403,
    {"error": "subscription is in Failed phase (cannot create API keys)", "code": "subscription_not_ready"},
)
UNRECONCILED = (
    400,
    {"error": "subscription is unreconciled (no status.phase set)", "code": "subscription_not_ready"},
)


def resolver(*objects: dict[str, Any], default: str = "", namespace: str = "") -> Resolver:
    directory = Directory(namespace=namespace)
    directory.update(objects, ())
    return Resolver(directory, default)


def outcome(subject: Resolver, requested: str, who: Identity = ALICE) -> str | tuple[int, dict[str, Any]]:
    try:
        return subject.resolve(who, requested)
    except ApiError as refusal:
        return refusal.status, refusal.body


PREFERRED = {
    "the highest priority wins": (
        [subscription("low", users=("alice",), priority=1), subscription("high", users=("alice",), priority=2)],
        "high",
    ),
    "absent priority is 0": (
        [subscription("none", users=("alice",)), subscription("one", users=("alice",), priority=1)],
        "one",
    ),
    "negative priority counts as 0, so the name decides": (
        [subscription("b", users=("alice",), priority=0), subscription("a", users=("alice",), priority=-5)],
        "a",
    ),
    "at equal priority the highest token limit of any model wins": (
        [
            subscription("a", users=("alice",), models=[reference("m", 500), reference("n", 10)]),
            subscription("b", users=("alice",), models=[reference("m", 1), reference("n", 5, 501)]),
        ],
        "b",
    ),
    "priority outweighs any limit": (
        [
            subscription("rich", users=("alice",), models=[reference("m", 1_000_000_000)]),
            subscription("preferred", users=("alice",), priority=1, models=[reference("m", 1)]),
        ],
        "preferred",
    ),
    "at equal limits the name decides": (
        [subscription("zeta", users=("alice",)), subscription("alpha", users=("alice",))],
        "alpha",
    ),
    "a group owns too": ([subscription("team", groups=("team-a",))], "team"),
    "someone else's higher priority does not count": (
        [subscription("mine", users=("alice",)), subscription("theirs", users=("bob",), priority=9)],
        "mine",
    ),
    "the phase is not looked at: Failed": (
        [subscription("broken", users=("alice",), priority=1, phase="Failed"), subscription("ok", users=("alice",))],
        "broken",
    ),
    "the phase is not looked at: not reconciled": ([subscription("new", users=("alice",), phase="")], "new"),
    "one being deleted is still the caller's": (
        [subscription("leaving", users=("alice",), priority=1, deleting=True), subscription("ok", users=("alice",))],
        "leaving",
    ),
    "none at all": ([], INVALID),
    "none owned": ([subscription("theirs", users=("bob",), groups=("team-b",))], INVALID),
    "a user name is not a group name": ([subscription("x", users=("team-a",), groups=("alice",))], INVALID),
    "no owner named": ([subscription("nobody")], INVALID),
}


@pytest.mark.parametrize(("objects", "expected"), PREFERRED.values(), ids=PREFERRED.keys())
def test_without_a_name_the_preferred_subscription_is_bound(objects: list[dict[str, Any]], expected: object) -> None:
    assert outcome(resolver(*objects), "") == expected
    assert outcome(resolver(*reversed(objects)), "") == expected, "the order of listing must not matter"


OWN = {
    phase: subscription(f"own-{phase.lower() or 'none'}", users=("alice",), phase=phase)
    for phase in ("Active", "Degraded", "Pending", "Invalid", "Failed", "")
}
NAMED = {
    "Active": ([OWN["Active"]], "own-active", "own-active"),
    "Degraded": ([OWN["Degraded"]], "own-degraded", "own-degraded"),
    "Pending": ([OWN["Pending"]], "own-pending", "own-pending"),
    "a phase this version does not know": ([OWN["Invalid"]], "own-invalid", "own-invalid"),
    "Failed": ([OWN["Failed"]], "own-failed", FAILED),
    "not reconciled": ([OWN[""]], "own-none", UNRECONCILED),
    "being deleted": ([subscription("leaving", users=("alice",), deleting=True)], "leaving", "leaving"),
    "by qualified name, the bare name is bound": (
        [OWN["Active"]],
        "models-as-a-service/own-active",
        "own-active",
    ),
    "the qualified name of another namespace": ([OWN["Active"]], "elsewhere/own-active", INVALID),
    "unknown": ([OWN["Active"]], "unknown", INVALID),
    "someone else's": ([subscription("theirs", users=("bob",))], "theirs", INVALID),
    "someone else's and Failed: no telling": (
        [subscription("theirs", users=("bob",), phase="Failed")],
        "theirs",
        INVALID,
    ),
    "a lower priority one is honoured when named": (
        [subscription("low", users=("alice",)), subscription("high", users=("alice",), priority=3)],
        "low",
        "low",
    ),
    "a bare name in two namespaces, both owned": (
        [subscription("twin", users=("alice",)), subscription("twin", users=("alice",), namespace="other")],
        "twin",
        INVALID,
    ),
    "a bare name in two namespaces, one owned": (
        [subscription("twin", users=("alice",)), subscription("twin", users=("bob",), namespace="other")],
        "twin",
        INVALID,
    ),
    "a twin by its qualified name": (
        [subscription("twin", users=("bob",)), subscription("twin", users=("alice",), namespace="other")],
        "other/twin",
        "twin",
    ),
    "names are compared exactly": ([OWN["Active"]], "Own-Active", INVALID),
}


@pytest.mark.parametrize(("objects", "name", "expected"), NAMED.values(), ids=NAMED.keys())
def test_a_named_subscription_must_be_owned_unambiguous_and_in_order(
    objects: list[dict[str, Any]], name: str, expected: object
) -> None:
    assert outcome(resolver(*objects), name) == expected


def test_groups_are_trimmed_before_they_are_compared() -> None:
    assert outcome(resolver(subscription("team", groups=("team-a",))), "", Identity("carol", (" team-a ",))) == "team"


def test_objects_of_other_namespaces_do_not_count_where_one_is_configured() -> None:
    mine = subscription("mine", users=("alice",))
    foreign = subscription("self-made", users=("alice",), namespace="alices-own", priority=99)
    subject = resolver(mine, foreign, namespace="models-as-a-service")
    assert outcome(subject, "") == "mine"
    assert outcome(subject, "alices-own/self-made") == INVALID


@pytest.mark.parametrize(
    ("default", "requested", "expected"),
    [
        ("default", "", "default"),
        ("default", "default", "default"),
        ("default", "other", INVALID),
        ("", "", INVALID),
        ("", "any", INVALID),
    ],
)
def test_where_the_kind_does_not_exist_the_configured_default_is_the_answer(
    default: str, requested: str, expected: object
) -> None:
    directory = Directory()
    directory.absent()
    assert outcome(Resolver(directory, default), requested) == expected


def test_a_default_is_no_way_round_the_subscriptions_of_a_cluster_that_has_the_kind() -> None:
    assert outcome(resolver(default="default"), "") == INVALID
    assert outcome(resolver(default="default"), "default") == INVALID


def test_before_the_first_answer_of_the_cluster_nothing_is_decided() -> None:
    subject = Resolver(Directory(), "default")
    with pytest.raises(ApiError) as refusal:
        subject.resolve(ALICE, "")
    assert refusal.value.status == 503
    assert refusal.value.body["code"] == "subscriptions_unknown"
    assert ("Retry-After", "1") in refusal.value.headers


def test_a_kind_that_disappears_and_comes_back_is_followed() -> None:
    directory = Directory()
    subject = Resolver(directory, "default")
    directory.update([subscription("mine", users=("alice",))], ())
    assert outcome(subject, "") == "mine"
    directory.absent()
    assert outcome(subject, "") == "default"
    directory.update((), ())
    assert outcome(subject, "") == INVALID
