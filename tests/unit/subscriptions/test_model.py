"""Objects of the cluster are read whole or left out whole, with the reason."""

from __future__ import annotations

import copy
import logging
from typing import Any

import pytest

from maas_api.identity.headers import Identity
from maas_api.subscriptions import model
from maas_api.subscriptions.directory import Directory, LeftOut, build
from maas_api.subscriptions.model import ModelKey, ModelRef, TokenRateLimit
from tests.support import crds
from tests.unit.subscriptions.objects import model_ref, policy, reference, subscription

FULL = subscription(
    "gold",
    users=("alice",),
    groups=("team-a",),
    priority=7,
    models=[reference("opt", 100, 2000, rate="0.0001"), reference("llama", 5, namespace="other")],
    phase="Degraded",
    deleting=True,
    enforced={"opt": True, "llama": False},
    annotations={"openshift.io/display-name": "Gold", "openshift.io/description": "The best", "x": "y"},
    billing={"organizationId": "org-1", "costCenter": "cc-2", "labels": {"env": "prod"}},
)


def test_every_field_of_a_subscription_is_read() -> None:
    found = model.subscription(FULL)
    assert found == model.Subscription(
        namespace="models-as-a-service",
        name="gold",
        display_name="Gold",
        description="The best",
        users=frozenset({"alice"}),
        groups=frozenset({"team-a"}),
        priority=7,
        models=(
            ModelRef(ModelKey("llm", "opt"), (TokenRateLimit(100, "1m"), TokenRateLimit(2000, "1m")), "0.0001"),
            ModelRef(ModelKey("other", "llama"), (TokenRateLimit(5, "1m"),), None),
        ),
        organization_id="org-1",
        cost_center="cc-2",
        labels={"env": "prod"},
        phase="Degraded",
        ready=False,
        deleting="2026-01-02T03:04:05Z",
        enforced={"opt": True, "llama": False},
    )
    assert found.rank == (-7, -2000, "gold", "models-as-a-service")
    assert not found.usable


def test_two_rate_limit_policies_of_one_model_name_must_both_be_ready() -> None:
    raw = subscription("gold", enforced={"opt": True})
    raw["status"]["tokenRateLimitStatuses"] += [{"model": "opt", "name": "b", "namespace": "b", "ready": False}]
    assert model.subscription(raw).enforced == {"opt": False}


@pytest.mark.parametrize(
    "raw",
    [
        FULL,
        subscription("small", users=("alice",)),
        policy("p", "opt", "other/llama", users=("alice",), groups=("team-a",)),
        model_ref("opt", alias="publishers/llm/models/opt", title="OPT"),
        model_ref("gpt", kind="ExternalModel"),
    ],
    ids=lambda raw: f"{raw['kind']} {raw['metadata']['name']}",
)
def test_the_objects_these_tests_use_are_objects_a_cluster_would_take(raw: dict[str, Any]) -> None:
    assert crds.errors(raw) == []


def broken(path: str, value: Any) -> dict[str, Any]:
    """FULL with one field set (a value of ``...`` removes it); ``path`` is dotted, numbers index lists."""
    raw = copy.deepcopy(FULL)
    *steps, last = path.split(".")
    target: Any = raw
    for step in steps:
        target = target[int(step) if step.isdigit() else step]
    if value is ...:
        del target[last]
    else:
        target[int(last) if last.isdigit() else last] = value
    return raw


REFUSED = {
    "no spec": (broken("spec", ...), "spec must be an object, got nothing"),
    "spec a list": (broken("spec", []), "spec must be an object, got []"),
    "no metadata": (broken("metadata", ...), "metadata must be an object, got nothing"),
    "no name": (broken("metadata.name", ""), "metadata.name must be a non-empty string, got ''"),
    "no namespace": (broken("metadata.namespace", ...), "metadata.namespace must be a non-empty string, got nothing"),
    "no owner": (broken("spec.owner", ...), "spec.owner must be an object, got nothing"),
    "users a string": (broken("spec.owner.users", "alice"), "spec.owner.users must be a list of strings, got 'alice'"),
    "user a number": (broken("spec.owner.users", [1]), "spec.owner.users must be a list of strings, got [1]"),
    "groups a mapping": (broken("spec.owner.groups", {}), "spec.owner.groups must be a list, got {}"),
    "group a string": (broken("spec.owner.groups", ["a"]), "spec.owner.groups[0] must be an object, got 'a'"),
    "group without name": (
        broken("spec.owner.groups", [{}]),
        "spec.owner.groups[0].name must be a non-empty string, got nothing",
    ),
    "priority text": (broken("spec.priority", "7"), "spec.priority must be a 32-bit whole number, got '7'"),
    "priority true": (broken("spec.priority", True), "spec.priority must be a 32-bit whole number, got True"),
    "priority huge": (broken("spec.priority", 2**31), f"spec.priority must be a 32-bit whole number, got {2**31}"),
    "model without namespace": (
        broken("spec.modelRefs.1.namespace", ...),
        "spec.modelRefs[1].namespace must be a non-empty string, got nothing",
    ),
    "limit text": (
        broken("spec.modelRefs.0.tokenRateLimits.1.limit", "5"),
        "spec.modelRefs[0].tokenRateLimits[1].limit must be a whole number of at least 1, got '5'",
    ),
    "limit zero": (
        broken("spec.modelRefs.0.tokenRateLimits.1.limit", 0),
        "spec.modelRefs[0].tokenRateLimits[1].limit must be a whole number of at least 1, got 0",
    ),
    "status a string": (broken("status", "ok"), "status must be an object, got 'ok'"),
    "rate limit status without model": (
        broken("status.tokenRateLimitStatuses.0.model", ...),
        "status.tokenRateLimitStatuses[0].model must be a non-empty string, got nothing",
    ),
}


@pytest.mark.parametrize(("raw", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_a_bad_object_is_refused_naming_field_rule_and_value(raw: dict[str, Any], reason: str) -> None:
    with pytest.raises(model.ObjectError) as fault:
        model.subscription(raw)
    assert str(fault.value) == reason


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.annotations", None),
        ("metadata.annotations", ["x"]),
        ("spec.tokenMetadata", "x"),
        ("spec.tokenMetadata.labels", {"n": 1}),
        ("spec.tokenMetadata.costCenter", 7),
        ("spec.modelRefs.0.billingRate", {}),
        ("status.phase", 7),
    ],
)
def test_bad_decoration_does_not_cost_the_subscription(path: str, value: Any) -> None:
    assert model.subscription(broken(path, value)).name == "gold"


def test_one_bad_object_is_left_out_and_reported_the_rest_stays() -> None:
    good = subscription("good", users=("alice",))
    bad = subscription("bad", users=("alice",), priority=9)
    bad["spec"]["owner"]["groups"] = ["team-a"]
    odd: Any = "not even an object"
    view = build([bad, good, odd], [policy("p", "opt", users=("alice",)), {"metadata": {"name": "q"}}])
    assert [item.name for item in view.owned(Identity("alice", ()))] == ["good"]
    assert view.problems == (
        LeftOut(
            "MaaSSubscription", "models-as-a-service", "bad", "spec.owner.groups[0] must be an object, got 'team-a'"
        ),
        LeftOut("MaaSSubscription", "?", "?", "the object must be a mapping, got str"),
        LeftOut("MaaSAuthPolicy", "?", "q", "spec must be an object, got nothing"),
    )
    assert view.authorized(Identity("alice", ())) == {ModelKey("llm", "opt")}


def test_a_bad_object_is_logged_when_it_turns_bad_not_at_every_update(caplog: pytest.LogCaptureFixture) -> None:
    directory = Directory()
    bad = subscription("bad", priority=9)
    del bad["spec"]["owner"]
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            directory.update([bad], ())
    assert [record.getMessage() for record in caplog.records] == [
        "MaaSSubscription models-as-a-service/bad is left out: spec.owner must be an object, got nothing"
    ]


def test_owning_is_looked_up_not_searched() -> None:
    """10,000 subscriptions: a caller's are found by their name and groups, without reading the others."""
    raws = [subscription(f"s{i:05}", users=(f"u{i}",), groups=(f"g{i % 100}",), priority=i % 7) for i in range(10_000)]
    view = build(raws, ())

    class Untouchable(tuple[Any, ...]):
        __slots__ = ()
        touched: list[int] = []  # noqa: RUF012 -- one instance, in this test

        def __getitem__(self, index: Any) -> Any:
            self.touched.append(index)
            return super().__getitem__(index)

        def __iter__(self) -> Any:
            raise AssertionError("every subscription was read")

    watched = view._replace(subscriptions=Untouchable(view.subscriptions))
    found = watched.owned(Identity("u5", ("g7",)))
    assert {item.name for item in found} == {"s00005", *(f"s{i:05}" for i in range(7, 10_000, 100))}
    assert [item.rank for item in found] == sorted(item.rank for item in found)
    assert len(Untouchable.touched) == 101
