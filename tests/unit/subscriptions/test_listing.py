"""What a caller sees of their subscriptions, and which models those open in the listing."""

from __future__ import annotations

from typing import Any

import pytest

from maas_api.errors import ApiError
from maas_api.identity.headers import Identity
from maas_api.subscriptions import listing
from maas_api.subscriptions.directory import Directory, build
from maas_api.subscriptions.listing import SubscriptionLabel, Visibility
from tests.unit.subscriptions.objects import policy, reference, subscription

ALICE = Identity("alice", ("team-a",))
BOTH = [reference("opt"), reference("llama")]
POLICY = policy("p", "opt", groups=("team-a",))


def names(rows: list[dict[str, Any]]) -> list[str]:
    return [row["subscription_id_header"] for row in rows]


def test_usable_subscriptions_are_listed_by_name_with_the_models_policies_open() -> None:
    view = build(
        [
            subscription("zeta", users=("alice",), models=BOTH, priority=9),
            subscription(
                "alpha",
                groups=("team-a",),
                phase="Degraded",
                models=[reference("opt", 5, rate="0.1")],
                annotations={"openshift.io/display-name": "Alpha", "openshift.io/description": "First"},
                billing={"organizationId": "org", "costCenter": "cc", "labels": {"a": "b"}},
            ),
        ],
        [POLICY],
    )
    assert listing.for_caller(view, ALICE) == [
        {
            "subscription_id_header": "alpha",
            "subscription_description": "First",
            "display_name": "Alpha",
            "priority": 0,
            "model_refs": [
                {
                    "name": "opt",
                    "token_rate_limits": [{"limit": 5, "window": "1m"}],
                    "billing_rate": {"per_token": "0.1"},
                }
            ],
            "organization_id": "org",
            "cost_center": "cc",
            "labels": {"a": "b"},
        },
        {
            "subscription_id_header": "zeta",
            "subscription_description": "",
            "priority": 9,
            "model_refs": [{"name": "opt", "token_rate_limits": [{"limit": 100, "window": "1m"}]}],
        },
    ]


@pytest.mark.parametrize(
    "hidden",
    [
        subscription("s", users=("bob",)),
        subscription("s", users=("alice",), phase="Failed"),
        subscription("s", users=("alice",), phase="Pending"),
        subscription("s", users=("alice",), phase=""),
        subscription("s", users=("alice",), deleting=True),
        subscription("s", users=("alice",), models=[reference("llama")]),
        subscription("s", users=("alice",), models=[]),
        subscription("s", users=("alice",), models=[reference("opt", namespace="other")]),
    ],
    ids=[
        "foreign",
        "failed",
        "pending",
        "unreconciled",
        "deleting",
        "no model left",
        "no model",
        "same model name elsewhere",
    ],
)
def test_what_cannot_be_used_now_is_not_listed(hidden: dict[str, Any]) -> None:
    assert listing.for_caller(build([hidden], [POLICY]), ALICE) == []


def test_the_subscriptions_of_a_model_are_all_of_the_callers_that_name_it() -> None:
    view = build(
        [
            subscription("ready", users=("alice",), models=BOTH),
            subscription("failed", users=("alice",), models=BOTH, phase="Failed"),
            subscription("elsewhere", users=("alice",), models=[reference("llama", namespace="other")]),
            subscription("without", users=("alice",), models=[reference("opt")]),
            subscription("foreign", users=("bob",), models=BOTH),
        ],
        [POLICY],
    )
    rows = listing.for_model(view, ALICE, "llama")
    assert names(rows) == ["elsewhere", "failed", "ready"]
    assert [ref["name"] for ref in rows[2]["model_refs"]] == ["opt", "llama"], "the models are not filtered here"
    assert listing.for_model(view, ALICE, "llm/llama") == []


def visibility(*objects: dict[str, Any]) -> Visibility:
    directory = Directory()
    directory.update(objects, [POLICY])
    return Visibility(directory)


def label(name: str) -> SubscriptionLabel:
    return SubscriptionLabel(name, "", "")


GOLD = subscription("gold", users=("alice",), models=BOTH)
SILVER = subscription("silver", users=("alice",), models=[reference("opt")])


def test_a_key_sees_the_models_of_its_subscription_policies_or_not() -> None:
    found = visibility(GOLD, SILVER).restriction(ALICE, "gold", api_key=True)
    assert found == {"llm/opt": (label("gold"),), "llm/llama": (label("gold"),)}


def test_a_platform_user_sees_the_union_of_what_policies_open() -> None:
    failed = subscription("failed", users=("alice",), models=[reference("opt")], phase="Failed")
    found = visibility(SILVER, GOLD, failed).restriction(ALICE, "", api_key=False)
    assert found == {"llm/opt": (label("gold"), label("silver"))}


def test_a_platform_user_without_any_subscription_sees_nothing() -> None:
    assert visibility().restriction(ALICE, "", api_key=False) == {}


def test_a_subscription_that_refers_to_no_model_restricts_nothing() -> None:
    empty = subscription("empty", users=("alice",), models=[])
    assert visibility(empty).restriction(ALICE, "empty", api_key=True) is None


REFUSED = {
    "a key bound to nothing": ([GOLD], "", True, "API key has no subscription bound"),
    "unknown": ([GOLD], "nope", False, "access denied to requested subscription"),
    "foreign": ([subscription("s", users=("bob",))], "s", True, "access denied to requested subscription"),
    "none in the cluster": ([], "gold", True, "no matching subscription found for user"),
    "failed": (
        [subscription("s", users=("alice",), phase="Failed")],
        "s",
        False,
        "requested subscription is not ready",
    ),
    "unreconciled": ([subscription("s", users=("alice",), phase="")], "s", True, "requested subscription is not ready"),
}


@pytest.mark.parametrize(("objects", "requested", "api_key", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_a_subscription_that_cannot_be_selected_is_a_permission_error(
    objects: list[dict[str, Any]], requested: str, api_key: bool, message: str
) -> None:
    with pytest.raises(ApiError) as refusal:
        visibility(*objects).restriction(ALICE, requested, api_key=api_key)
    assert refusal.value.status == 403
    assert refusal.value.body["error"]["message"] == message
    assert refusal.value.body["error"]["type"] == "permission_error"


def test_without_the_kind_nothing_is_restricted_and_before_the_first_state_nothing_is_said() -> None:
    directory = Directory()
    subject = Visibility(directory)
    with pytest.raises(ApiError) as refusal:
        subject.restriction(ALICE, "gold", api_key=True)
    assert refusal.value.status == 503
    directory.absent()
    assert subject.restriction(ALICE, "gold", api_key=True) is None
