"""What a caller sees of their subscriptions."""

from __future__ import annotations

from typing import Any

import pytest

from maas_api.identity.headers import Identity
from maas_api.subscriptions import listing
from maas_api.subscriptions.directory import build
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


def test_the_subscriptions_of_a_model_are_all_of_the_callers_that_name_it_and_that_a_policy_opens() -> None:
    view = build(
        [
            subscription("ready", users=("alice",), models=BOTH),
            subscription("failed", users=("alice",), models=BOTH, phase="Failed"),
            subscription("elsewhere", users=("alice",), models=[reference("llama", namespace="other")]),
            subscription("without", users=("alice",), models=[reference("opt")]),
            subscription("foreign", users=("bob",), models=BOTH),
        ],
        [policy("p", "llama", users=("alice",))],
    )
    rows = listing.for_model(view, ALICE, "llama")
    assert names(rows) == ["failed", "ready"]
    assert [ref["name"] for ref in rows[1]["model_refs"]] == ["opt", "llama"], "the models are not filtered here"
    assert listing.for_model(view, ALICE, "opt") == []
    assert listing.for_model(view, ALICE, "llm/llama") == []
