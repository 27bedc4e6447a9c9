"""The indexes give what reading everything would give, whatever the cluster holds and in whatever order it came."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from maas_api.errors import ApiError
from maas_api.identity.headers import Identity
from maas_api.subscriptions.directory import Directory, State, build
from maas_api.subscriptions.model import ModelKey
from maas_api.subscriptions.resolve import resolve
from tests.unit.subscriptions.objects import policy, reference, subscription

USERS, GROUPS, NAMES, SPACES = ("u1", "u2", "u3"), ("g1", "g2", "g3"), ("a", "b", "c", "d"), ("n1", "n2")
MODELS = ("m1", "m2", "m3")


def some(values: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(values), unique=True, max_size=2).map(tuple)


subscriptions = st.lists(
    st.builds(
        subscription,
        st.sampled_from(NAMES),
        namespace=st.sampled_from(SPACES),
        users=some(USERS),
        groups=some(GROUPS),
        priority=st.none() | st.integers(-2, 3),
        models=st.lists(st.builds(reference, st.sampled_from(MODELS), st.integers(1, 5)), max_size=3),
        phase=st.sampled_from(("Active", "Degraded", "Failed", "Pending", "")),
        deleting=st.booleans(),
    ),
    max_size=8,
    unique_by=lambda raw: (raw["metadata"]["namespace"], raw["metadata"]["name"]),
)
policies = st.lists(
    st.builds(
        lambda models, users, groups: policy("p", *models, users=users, groups=groups),
        some(MODELS),
        some(USERS),
        some(GROUPS),
    ),
    max_size=4,
)
callers = st.builds(Identity, st.sampled_from(USERS), some((*GROUPS, " g1 ")))


def owns(raw: dict[str, Any], who: Identity) -> bool:
    owner = raw["spec"]["owner"]
    groups = {group["name"] for group in owner["groups"]}
    return who.username in owner["users"] or any(group.strip() in groups for group in who.groups)


def preference(raw: dict[str, Any]) -> tuple[int, int, str, str]:
    limits = [limit["limit"] for ref in raw["spec"]["modelRefs"] for limit in ref["tokenRateLimits"]]
    priority = max(raw["spec"].get("priority", 0), 0)
    return -priority, -max(limits, default=0), raw["metadata"]["name"], raw["metadata"]["namespace"]


def place(raw: dict[str, Any]) -> tuple[str, str]:
    return raw["metadata"]["namespace"], raw["metadata"]["name"]


@given(subscriptions, callers)
def test_owned_is_what_a_search_would_find_in_the_order_of_preference(
    raws: list[dict[str, Any]], who: Identity
) -> None:
    expected = [place(raw) for raw in sorted(raws, key=preference) if owns(raw, who)]
    for order in (raws, list(reversed(raws))):
        assert [(item.namespace, item.name) for item in build(order, ()).owned(who)] == expected


@given(policies, callers)
def test_authorized_is_the_union_of_the_policies_that_name_the_caller(
    raws: list[dict[str, Any]], who: Identity
) -> None:
    groups = {group.strip() for group in who.groups}
    expected = {
        ModelKey(ref["namespace"], ref["name"])
        for raw in raws
        if who.username in raw["spec"]["subjects"]["users"]
        or groups & {group["name"] for group in raw["spec"]["subjects"]["groups"]}
        for ref in raw["spec"]["modelRefs"]
    }
    assert build((), raws).authorized(who) == expected


def outcome(state: State, who: Identity, name: str) -> str | int:
    try:
        return resolve(state, who, name).qualified
    except ApiError as refusal:
        return refusal.status


@given(
    subscriptions, callers, st.sampled_from(("", *NAMES, *(f"{space}/{name}" for space in SPACES for name in NAMES)))
)
def test_whatever_is_resolved_is_the_callers(raws: list[dict[str, Any]], who: Identity, name: str) -> None:
    found = outcome(build(raws, ()), who, name)
    if isinstance(found, str):
        (chosen,) = (raw for raw in raws if "/".join(place(raw)) == found)
        assert owns(chosen, who)
        assert name in ("", found, found.partition("/")[2])
    else:
        assert found in (400, 403)


@given(st.lists(subscriptions, min_size=1, max_size=4), policies, callers)
def test_a_directory_that_followed_changes_equals_one_made_afresh(
    steps: list[list[dict[str, Any]]], granted: list[dict[str, Any]], who: Identity
) -> None:
    directory = Directory()
    for step in steps:
        directory.update(step, granted)
    assert directory.state is not None
    fresh = build(steps[-1], granted)
    assert directory.state == fresh
    assert directory.state.visible(who) == fresh.visible(who)
