"""The gateway's question at every inference, answered from memory and always with a body that policies can read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from maas_api.subscriptions import select
from maas_api.subscriptions.directory import Directory
from tests.unit.subscriptions.objects import model_ref, policy, reference, subscription

GOLD = subscription(
    "gold",
    groups=("team-a",),
    priority=5,
    models=[reference("opt", 100, rate="0.1"), reference("llama", 7)],
    annotations={"openshift.io/display-name": "Gold", "openshift.io/description": "The best"},
    billing={"organizationId": "org", "costCenter": "cc", "labels": {"env": "prod"}},
)
SILVER = subscription("silver", users=("alice",), models=[reference("opt", 10)])
FOREIGN = subscription("foreign", users=("bob",))
POLICY = policy("p", "opt", groups=("team-a",))


def ask(objects: list[dict[str, Any]], /, *, models: tuple[dict[str, Any], ...] = (), **query: Any) -> dict[str, Any]:
    directory = Directory()
    directory.update(objects, [POLICY], models)
    question = {"username": "alice", "groups": ["team-a"]} | query
    return select.answer(directory, json.dumps(question).encode())


def refusal(code: str, message: str, phase: str = "") -> dict[str, Any]:
    return {"error": code, "message": message, "accessAllowed": False, "phase": phase, "ready": False}


def test_a_success_carries_everything_policies_and_metering_read() -> None:
    assert ask([GOLD, FOREIGN], requestedModel="llm/opt") == {
        "name": "gold",
        "namespace": "models-as-a-service",
        "displayName": "Gold",
        "description": "The best",
        "priority": 5,
        "modelRefs": [
            {
                "name": "opt",
                "token_rate_limits": [{"limit": 100, "window": "1m"}],
                "billing_rate": {"per_token": "0.1"},
            },
            {"name": "llama", "token_rate_limits": [{"limit": 7, "window": "1m"}]},
        ],
        "organizationId": "org",
        "costCenter": "cc",
        "labels": {"env": "prod"},
        "resolvedModel": "llm/opt",
        "accessAllowed": True,
        "phase": "Active",
        "ready": True,
    }


def test_empty_fields_are_left_out_except_those_policies_read() -> None:
    bare = subscription("bare", users=("alice",), models=[], phase="Pending")
    assert ask([bare]) == {
        "name": "bare",
        "namespace": "models-as-a-service",
        "accessAllowed": True,
        "phase": "Pending",
        "ready": False,
    }


def test_a_subscription_being_deleted_says_so() -> None:
    assert ask([subscription("s", users=("alice",), deleting=True)])["deletionTimestamp"] == "2026-01-02T03:04:05Z"


def test_what_the_model_objects_say_is_added() -> None:
    infos = (
        model_ref("opt", alias="publishers/llm/models/opt", title="OPT"),
        model_ref("llama", kind="ExternalModel", target="llama-3"),
    )
    found = ask([GOLD], models=infos)["modelRefs"]
    assert [
        {name: ref.get(name) for name in ("model_name", "display_name", "description", "source")} for ref in found
    ] == [
        {
            "model_name": "publishers/llm/models/opt",
            "display_name": "OPT",
            "description": "About OPT",
            "source": "internal",
        },
        {"model_name": None, "display_name": None, "description": None, "source": "external"},
    ]


def test_a_model_may_be_asked_for_by_its_alias() -> None:
    infos = (model_ref("opt", alias="publishers/llm/models/opt"),)
    assert ask([GOLD], models=infos, requestedModel="publishers/llm/models/opt")["resolvedModel"] == "llm/opt"


@pytest.mark.parametrize("named", [{}, {"requestedSubscription": "gold"}], ids=["chosen", "named"])
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("llm/opt", "llm/opt"),
        ("opt", "llm/opt"),
        ("claude/opus-4", "llm/opt"),
        ("same", "llm/opt"),
        ("llama", "llm/llama"),
    ],
    ids=["its place", "its bare name", "its model's name, with a slash", "of two, the first", "another's bare name"],
)
def test_a_model_is_found_by_place_by_its_models_name_and_by_its_bare_name(
    text: str, found: str, named: dict[str, str]
) -> None:
    """What the platform's gateway policy sends is the name out of the request's body."""
    aliases = ("same", "same") if text == "same" else ("claude/opus-4", "")
    infos = (model_ref("opt", alias=aliases[0]), model_ref("llama", alias=aliases[1]))
    assert ask([GOLD], models=infos, requestedModel=text, **named)["resolvedModel"] == found


def test_a_bare_name_opens_no_more_than_its_place_does() -> None:
    elsewhere = subscription("s", users=("alice",), models=[reference("opt", namespace="other")])
    found = ask([elsewhere], requestedModel="opt")
    assert (found["resolvedModel"], found["accessAllowed"]) == ("other/opt", False)


@pytest.mark.parametrize(
    ("model", "allowed"),
    [("", True), ("llm/opt", True), ("llm/llama", False)],
    ids=["no model asked for", "a policy opens it", "no policy opens it"],
)
def test_access_is_allowed_only_where_some_policy_opens_the_model(model: str, allowed: bool) -> None:
    assert ask([GOLD], requestedModel=model)["accessAllowed"] is allowed


def test_a_policy_for_someone_else_opens_nothing() -> None:
    assert ask([SILVER], groups=["team-b"], requestedModel="llm/opt")["accessAllowed"] is False


MULTIPLE = "user has access to multiple subscriptions, must specify subscription using X-MaaS-Subscription header"
CHOICES = {
    "the only candidate is taken": ([GOLD, FOREIGN], {}, "gold"),
    "of two, the one that has the model": ([GOLD, SILVER], {"requestedModel": "llm/llama"}, "gold"),
    "two candidates need a name": ([GOLD, SILVER], {}, refusal("multiple_subscriptions", MULTIPLE)),
    "two with the model need a name": (
        [GOLD, SILVER],
        {"requestedModel": "llm/opt"},
        refusal("multiple_subscriptions", MULTIPLE),
    ),
    "named": ([GOLD, SILVER], {"requestedSubscription": "silver"}, "silver"),
    "named with spaces around": ([GOLD, SILVER], {"requestedSubscription": " silver "}, "silver"),
    "named with its namespace": ([GOLD, SILVER], {"requestedSubscription": "models-as-a-service/gold"}, "gold"),
    "null means not asked": (
        [GOLD],
        {"requestedSubscription": None, "requestedModel": None, "groups": ["team-a"]},
        "gold",
    ),
    "no groups, the user name owns": ([SILVER], {"groups": None}, "silver"),
    "none in the cluster": ([], {}, refusal("not_found", "no matching subscription found for user")),
    "none owned": ([FOREIGN], {}, refusal("not_found", "no matching subscription found for user")),
    "none with the model": (
        [GOLD],
        {"requestedModel": "llm/unknown"},
        refusal("not_found", "no matching subscription found for user"),
    ),
    "named, unknown": (
        [GOLD],
        {"requestedSubscription": "unknown"},
        refusal("not_found", "requested subscription not found"),
    ),
    "named, someone else's": (
        [GOLD, FOREIGN],
        {"requestedSubscription": "foreign"},
        refusal("access_denied", "access denied to requested subscription"),
    ),
    "named, without the model": (
        [SILVER],
        {"requestedSubscription": "silver", "requestedModel": "llm/llama"},
        refusal("model_not_in_subscription", "subscription silver does not include model llm/llama"),
    ),
    "named, the model in another namespace": (
        [SILVER],
        {"requestedSubscription": "silver", "requestedModel": "other/opt"},
        refusal("model_not_in_subscription", "subscription silver does not include model other/opt"),
    ),
    "named, the model of no name there is": (
        [SILVER],
        {"requestedSubscription": "silver", "requestedModel": "op"},
        refusal("model_not_in_subscription", "subscription silver does not include model op"),
    ),
    "a bare name in two namespaces": (
        [SILVER, subscription("silver", users=("alice",), namespace="other")],
        {"requestedSubscription": "silver"},
        refusal(
            "multiple_subscriptions",
            "requested subscription exists in several namespaces, use the qualified name namespace/name",
        ),
    ),
}


@pytest.mark.parametrize(("objects", "query", "expected"), CHOICES.values(), ids=CHOICES.keys())
def test_the_choice(objects: list[dict[str, Any]], query: dict[str, Any], expected: str | dict[str, Any]) -> None:
    found = ask(objects, **query)
    assert (found["name"] if isinstance(expected, str) else found) == expected


OPT = {"requestedModel": "llm/opt"}
NOT_ENFORCED = "subscription rate limiting policies are not ready"
HEALTH = {
    "Active": ("Active", None, OPT, ""),
    "Active needs no statuses": ("Active", {"opt": False}, OPT, ""),
    "Degraded, the limits in force": ("Degraded", {"opt": True, "llama": False}, OPT, ""),
    "Degraded, the limits not in force": ("Degraded", {"opt": False}, OPT, NOT_ENFORCED),
    "Degraded, no status of this model": ("Degraded", {"llama": True}, OPT, NOT_ENFORCED),
    "Degraded, no status at all": ("Degraded", None, OPT, NOT_ENFORCED),
    "Failed": ("Failed", None, OPT, "subscription is in Failed phase (allowed: Active, Degraded)"),
    "Pending": ("Pending", None, OPT, "subscription is in Pending phase (allowed: Active, Degraded)"),
    "a phase this version does not know": (
        "Odd",
        None,
        OPT,
        "subscription is in Odd phase (allowed: Active, Degraded)",
    ),
    "not reconciled": ("", None, OPT, "subscription is in unreconciled phase (allowed: Active, Degraded)"),
    "no model: Pending will do": ("Pending", None, {}, ""),
    "no model: Degraded will do": ("Degraded", None, {}, ""),
    "no model: Failed": ("Failed", None, {}, "subscription is in Failed phase (cannot create API keys)"),
    "no model: not reconciled": ("", None, {}, "subscription is unreconciled (no status.phase set)"),
}


@pytest.mark.parametrize(("phase", "enforced", "query", "message"), HEALTH.values(), ids=HEALTH.keys())
@pytest.mark.parametrize("named", [False, True], ids=["chosen", "named"])
def test_inference_needs_a_subscription_in_order(
    phase: str, enforced: dict[str, bool] | None, query: dict[str, str], message: str, named: bool
) -> None:
    raw = subscription("s", users=("alice",), phase=phase, enforced=enforced)
    found = ask([raw], **query, **({"requestedSubscription": "s"} if named else {}))
    if message:
        assert found == refusal("model_unhealthy", message, phase)
    else:
        assert (found["name"], found["phase"]) == ("s", phase)


def test_a_model_without_limits_has_none_to_enforce() -> None:
    free = {"name": "opt", "namespace": "llm"}
    assert ask([subscription("s", users=("alice",), models=[free], phase="Degraded")], **OPT)["name"] == "s"


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (b"", "must be a JSON object"),
        (b"[]", "must be a JSON object"),
        (b'{"username": "al', "must be a JSON object"),
        (b"\xff", "must be a JSON object"),
        (b"[" * 100_000, "must be a JSON object"),
        (b"{}", "username is required"),
        (b'{"username": "  "}', "username is required"),
        (b'{"username": null}', "username is required"),
        (b'{"username": 7}', "username must be a string"),
        (b'{"username": "a", "groups": "team-a"}', "groups must be a list of strings"),
        (b'{"username": "a", "groups": [1]}', "groups must be a list of strings"),
        (b'{"username": "a", "requestedSubscription": []}', "requestedSubscription must be a string"),
        (b'{"username": "a", "requestedModel": 1}', "requestedModel must be a string"),
    ],
)
def test_a_bad_request_is_an_answer_that_names_the_rule(body: bytes, rule: str) -> None:
    directory = Directory()
    directory.update([GOLD], [POLICY])
    assert select.answer(directory, body) == refusal("bad_request", f"invalid request body: {rule}")


def test_before_the_first_state_and_without_the_kind_everyone_is_denied() -> None:
    directory = Directory()
    question = b'{"username": "alice"}'
    assert select.answer(directory, question)["error"] == "internal_error"
    directory.absent()
    assert select.answer(directory, question) == refusal("not_found", "no matching subscription found for user")
