"""Which models a caller's subscriptions open in the listing."""

from __future__ import annotations

from typing import Any

import pytest

from maas_api.access.decision import SubscriptionLabel
from maas_api.access.subscriptions import Opened, Visibility
from maas_api.errors import ApiError
from maas_api.identity.headers import Identity
from maas_api.subscriptions.directory import Directory
from tests.unit.subscriptions.objects import policy, reference, subscription

ALICE = Identity("alice", ("team-a",))
BOTH = [reference("opt"), reference("llama")]
POLICY = policy("p", "opt", groups=("team-a",))


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
    assert found == Opened({"llm/opt": (label("gold"),), "llm/llama": (label("gold"),)})


def test_a_platform_user_sees_the_union_of_what_policies_open() -> None:
    failed = subscription("failed", users=("alice",), models=[reference("opt")], phase="Failed")
    found = visibility(SILVER, GOLD, failed).restriction(ALICE, "", api_key=False)
    assert found == Opened({"llm/opt": (label("gold"), label("silver"))})


def test_a_platform_user_without_any_subscription_sees_nothing() -> None:
    assert visibility().restriction(ALICE, "", api_key=False) == Opened({})


def test_a_subscription_that_refers_to_no_model_is_named_on_every_one() -> None:
    empty = subscription("empty", users=("alice",), models=[])
    found = visibility(empty).restriction(ALICE, "empty", api_key=True)
    assert found is not None
    assert found.by("llm/opt") == found.by("any/other") == (label("empty"),)
    assert Opened({}).by("llm/opt") == ()


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
