"""Which models a caller's subscriptions open."""

from __future__ import annotations

from typing import Any

import pytest

from maas_api.access import subscriptions
from maas_api.access.caller import UNLIMITED, Limited
from maas_api.access.subscriptions import Grant, Visibility
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


GOLD = subscription("gold", users=("alice",), models=BOTH)
SILVER = subscription("silver", users=("alice",), models=[reference("opt")])


def references(grant: Grant | None) -> dict[str, list[str]]:
    """The open ones of all there are, by the names of the subscriptions that open them."""
    assert grant is not None
    found = {place: [item.name for item in grant.by(place)] for place in ("llm/opt", "llm/llama", "llm/other")}
    return {place: names for place, names in found.items() if names}


def test_a_key_opens_what_its_subscription_includes_and_a_policy_opens_to_its_owner() -> None:
    grant = visibility(GOLD, SILVER).grant(ALICE, "gold", api_key=True)
    assert references(grant) == {"llm/opt": ["gold"]}, "no policy opens llama, so select would refuse it too"


def test_a_platform_user_sees_the_union_of_what_policies_open() -> None:
    failed = subscription("failed", users=("alice",), models=[reference("opt")], phase="Failed")
    grant = visibility(SILVER, GOLD, failed).grant(ALICE, "", api_key=False)
    assert references(grant) == {"llm/opt": ["gold", "silver"]}


def test_a_platform_user_without_any_subscription_sees_nothing() -> None:
    assert references(visibility().grant(ALICE, "", api_key=False)) == {}


@pytest.mark.parametrize(
    ("phase", "enforced", "opens"),
    [("Active", None, True), ("Pending", None, False), ("Degraded", None, False), ("Degraded", True, True)],
)
def test_a_subscription_opens_a_model_while_select_would_let_calls_pass(
    phase: str, enforced: bool | None, opens: bool
) -> None:
    bound = subscription("s", users=("alice",), models=[reference("opt", 5)], phase=phase)
    if enforced is not None:
        bound["status"]["tokenRateLimitStatuses"] = [{"model": "opt", "ready": enforced}]
    grant = visibility(bound).grant(ALICE, "s", api_key=True)
    assert (references(grant) == {"llm/opt": ["s"]}) is opens
    assert grant is not None
    assert grant.opens_path("/llm/opt/") is opens


def test_a_subscription_that_refers_to_no_model_is_named_on_every_one() -> None:
    empty = subscription("empty", users=("alice",), models=[])
    grant = visibility(empty).grant(ALICE, "empty", api_key=True)
    assert references(grant) == {place: ["empty"] for place in ("llm/opt", "llm/llama", "llm/other")}
    assert grant is not None
    assert grant.paths() is None
    assert grant.opens_path("/any/model/")


class TestModelsInTheCluster:
    """A key calls, by the model's own route, what its subscription's MaaSModelRefs stand for."""

    def grant(self, *refs: dict[str, Any], api_key: bool = True) -> Grant:
        directory = Directory()
        directory.update([SILVER], [POLICY], refs)
        found = Visibility(directory).grant(ALICE, "silver", api_key=api_key)
        assert found is not None
        return found

    @staticmethod
    def ref(name: str, target: str, kind: str = "LLMInferenceService") -> dict[str, Any]:
        metadata = {"namespace": "llm", "name": name}
        return {"metadata": metadata, "spec": {"modelRef": {"kind": kind, "name": target}}}

    def test_a_reference_nobody_read_stands_for_the_service_of_its_name(self) -> None:
        grant = self.grant()
        assert grant.paths() == {"/llm/opt/"}
        assert [grant.opens_path(path) for path in ("/llm/opt/", "/llm/llama/", "/x/opt/")] == [True, False, False]

    def test_one_that_was_read_stands_for_what_it_names(self) -> None:
        grant = self.grant(self.ref("opt", "opt-v2"))
        assert grant.paths() == {"/llm/opt-v2/"}
        assert [grant.opens_path(path) for path in ("/llm/opt-v2/", "/llm/opt/")] == [True, False]

    def test_an_external_one_stands_for_nothing_in_the_cluster(self) -> None:
        grant = self.grant(self.ref("opt", "gpt", "ExternalModel"))
        assert grant.paths() == frozenset()
        assert not grant.opens_path("/llm/opt/")

    def test_a_platform_user_has_the_clusters_rights_there(self) -> None:
        grant = self.grant(api_key=False)
        assert grant.paths() is None
        assert grant.opens_path("/llm/llama/")


class TestLimits:
    """What a subscription allows each of its users of one model."""

    def limits(self, *objects: dict[str, Any], requested: str = "", path: str = "", kind: str = "llm/opt") -> Limited:
        return visibility(*objects).limits(ALICE, requested, "" if path else kind, path)

    def test_the_named_subscription_s_count_and_are_the_model_s(self) -> None:
        gold = subscription("gold", users=("alice",), models=[reference("opt", 500, 90), reference("llama", 7)])
        found = self.limits(gold, SILVER, requested="gold")
        assert (found.subscription, found.reference) == ("gold", "llm/opt")
        assert [limit.limit for limit in found.limits] == [500, 90]
        assert self.limits(gold, SILVER, requested="gold", path="/llm/opt/") == found

    def test_of_several_that_nobody_chose_among_the_preferred_one_s_count(self) -> None:
        first = subscription("zinc", users=("alice",), priority=5, models=[reference("opt", 3)])
        assert self.limits(GOLD, first).subscription == "zinc"

    def test_a_name_that_several_go_by_is_told_in_full(self) -> None:
        twin = subscription("gold", namespace="elsewhere", users=("bob",))
        found = self.limits(GOLD, twin, requested="models-as-a-service/gold")
        assert found.subscription == "models-as-a-service/gold"

    def test_what_no_subscription_includes_is_not_limited(self) -> None:
        assert self.limits(GOLD, kind="llm/other") == UNLIMITED
        assert Visibility(Directory(known=True)).limits(ALICE, "gold", "llm/opt", "") == UNLIMITED


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
        visibility(*objects).grant(ALICE, requested, api_key=api_key)
    assert refusal.value.status == 403
    assert refusal.value.body["error"]["message"] == message
    assert refusal.value.body["error"]["type"] == "permission_error"


def test_without_the_kind_nothing_is_restricted_and_before_the_first_state_nothing_is_said() -> None:
    directory = Directory()
    subject = Visibility(directory)
    with pytest.raises(ApiError) as refusal:
        subject.grant(ALICE, "gold", api_key=True)
    assert refusal.value.status == 503
    directory.absent()
    assert subject.grant(ALICE, "gold", api_key=True) is None


def test_whoever_holds_the_same_has_one_grant_and_what_it_opens_is_worked_out_once() -> None:
    told = visibility(
        subscription("team", groups=("team-a",), models=BOTH), subscription("bob-s", users=("bob",), models=BOTH)
    )
    places = frozenset({"llm/opt", "llm/llama"})
    alice, carol, bob = (
        told.grant(Identity(name, ("team-a",)), "", api_key=False) for name in ("alice", "carol", "bob")
    )
    assert alice is carol
    assert alice is not None
    assert bob is not None
    assert alice is not bob
    assert alice.opened(places) is alice.opened(places)
    assert [place for place, _ in alice.opened(places)] == ["llm/opt"]
    assert [[item.name for item in by] for _, by in bob.opened(places)] == [["bob-s", "team"]]


def test_what_a_grant_opens_follows_the_models_there_are() -> None:
    grant = visibility(GOLD).grant(ALICE, "gold", api_key=True)
    assert grant is not None
    assert grant.opened(frozenset({"llm/other"})) == frozenset()
    assert {place for place, _ in grant.opened(frozenset({"llm/other", "llm/opt"}))} == {"llm/opt"}


def test_a_grant_ends_with_the_state_it_was_given_in() -> None:
    directory = Directory()
    directory.update([GOLD], [POLICY])
    told = Visibility(directory)
    assert references(told.grant(ALICE, "gold", api_key=True)) == {"llm/opt": ["gold"]}
    directory.update([GOLD], [])
    assert references(told.grant(ALICE, "gold", api_key=True)) == {}
    directory.update([GOLD], [POLICY])
    assert references(told.grant(ALICE, "gold", api_key=True)) == {"llm/opt": ["gold"]}


def test_a_key_and_a_user_who_hold_the_same_are_told_apart() -> None:
    told = visibility(GOLD)
    key, user = (told.grant(ALICE, "gold", api_key=by_key) for by_key in (True, False))
    assert key is not None
    assert user is not None
    assert (key.opens_path("/llm/none/"), user.opens_path("/llm/none/")) == (False, True)


def test_grants_of_many_different_callers_are_forgotten_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "_OPENED_KEPT", 10)
    people = [f"user-{number}" for number in range(20)]
    many = [subscription(f"of-{name}", users=(name,), models=[reference("opt")]) for name in people]
    directory = Directory()
    directory.update(many, [POLICY])
    told = Visibility(directory)
    first = told.grant(Identity("user-0", ("team-a",)), "", api_key=False)
    for name in people:
        assert told.grant(Identity(name, ("team-a",)), "", api_key=False) is not None
    assert told.grant(Identity("user-0", ("team-a",)), "", api_key=False) is not first
