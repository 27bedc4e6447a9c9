"""What is listed can be called and nothing else: over catalogs, subscriptions and callers made up at random."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from maas_api.access.caller import Access, Caller
from maas_api.access.named import Named
from maas_api.access.subscriptions import Visibility
from maas_api.errors import ApiError
from maas_api.gateway.judgement import Call, Judgement, Passed
from maas_api.identity.headers import Identity
from maas_api.models.calls import Calls
from maas_api.models.model import ModelEntry
from maas_api.subscriptions.directory import Directory
from tests.support.callables import Held, external, local, reference, snapshot
from tests.unit.subscriptions.objects import model_ref, policy, subscription
from tests.unit.subscriptions.objects import reference as included

NAMES = ["a", "ab", "abc", "b", "team/a", "team/b"]
"""Few, so that ids, aliases, target names and patterns meet each other."""
PLACES = ["one", "two", "three"]
GROUPS = ["staff", "board"]
PATTERNS = [*NAMES, "a*", "team/*", "*", "zzz"]
MODEL_PATH = "v1/chat/completions"

names = st.sampled_from(NAMES)
aliases = st.lists(names, max_size=2, unique=True).map(tuple)
groups = st.frozensets(st.sampled_from(GROUPS), max_size=1)
namespaces = st.sampled_from(["llm", "lab"])

EXTERNAL = st.builds(
    lambda name, provider, created, **fields: external(name, provider, created=created, origin="n/r", **fields),
    names,
    st.sampled_from(["openai", "vllm"]),
    st.integers(1, 3),
    aliases=aliases,
    groups=groups,
    target=st.sampled_from(["", *NAMES]),
)
LOCAL = st.builds(
    lambda name, place, created, namespace, **fields: local(
        name, place, namespace=namespace, created=created, **fields
    ),
    names,
    st.sampled_from(PLACES),
    st.integers(1, 3),
    namespaces,
    aliases=aliases,
)
REFERENCE = st.builds(
    lambda name, place, created, namespace, **fields: reference(
        name, place, namespace=namespace, created=created, **fields
    ),
    names,
    st.sampled_from(PLACES),
    st.integers(1, 3),
    namespaces,
)
CATALOG = st.lists(st.one_of(EXTERNAL, LOCAL, REFERENCE), max_size=7)

PHASES = st.sampled_from(["Active", "Degraded", "Pending", "Failed"])
INCLUDED = st.lists(st.builds(included, st.sampled_from(PLACES), namespace=namespaces), max_size=2)
SUBSCRIPTION = st.builds(
    lambda name, owner, models, phase: subscription(name, users=(owner,), models=models, phase=phase),
    st.sampled_from(["gold", "silver"]),
    st.sampled_from(["alice", "bob"]),
    INCLUDED,
    PHASES,
)
POLICY = st.builds(
    lambda opened, group: policy("p", *opened, groups=(group,)),
    st.lists(st.sampled_from(PLACES), max_size=2),
    st.sampled_from(GROUPS),
)
STANDS_FOR = st.builds(model_ref, st.sampled_from(PLACES))
CALLER = st.builds(
    Caller,
    st.builds(Identity, st.just("alice"), st.lists(st.sampled_from(GROUPS), min_size=1, unique=True).map(tuple)),
    st.none() | st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=2).map(tuple),
    st.sampled_from(["", "gold", "silver", "none"]),
    st.booleans(),
)


class Namespaces(NamedTuple):
    """The namespaces that a caller may use."""

    open: frozenset[str]

    def visible(self, _who: Identity, namespaces: frozenset[str]) -> frozenset[str]:
        return self.open & namespaces


class World(NamedTuple):
    calls: Calls
    judgement: Judgement
    entries: list[ModelEntry]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    entries = draw(CATALOG)
    directory = Directory(known=True)
    if draw(st.booleans()):
        objects = draw(st.lists(SUBSCRIPTION, max_size=3))
        directory.update(objects, draw(st.lists(POLICY, max_size=2)), draw(st.lists(STANDS_FOR, max_size=2)))
    checked = draw(st.none() | st.builds(Namespaces, st.frozensets(namespaces)))
    calls = Calls(Held(snapshot(*entries)), Access(checked, Visibility(directory)))
    return World(calls, Judgement(calls), entries)


def passed(call: Callable[[], Passed]) -> Passed | None:
    """What a call that may be made is; None for a refusal."""
    try:
        return call()
    except ApiError:
        return None


def listed(world: World, caller: Caller, provider: str = "") -> list[ModelEntry]:
    """The caller's listing; where it cannot be had nothing is open."""
    try:
        return [row.entry for row in world.calls.view(caller, provider).rows]
    except ApiError:
        return []


def ids_called(world: World, caller: Caller, path: str, provider: str = "") -> dict[str, Any]:
    """Every name that there is or was, by what a call for it at ``path`` comes to."""
    found = {}
    for name in NAMES:
        what = passed(lambda name=name: world.judgement.judge(Call("POST", path, Named(name)), caller))
        if what is not None:
            found[name] = what
    return found


def open_names(entry: ModelEntry, caller: Caller) -> set[str]:
    """The names by which a listed entry can be called: those its server knows, of them those on the key's list."""
    names = {entry.called} if entry.provider else {entry.id, *entry.aliases}
    if caller.models is None or entry.provider:
        return names
    return {name for name in names if any(_matches(pattern, name) for pattern in caller.models)}


def _matches(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


@settings(max_examples=600)
@given(worlds(), CALLER, st.sampled_from(["openai", "vllm"]))
def test_at_a_provider_s_route(world: World, caller: Caller, provider: str) -> None:
    called = ids_called(world, caller, f"/external/{provider}/{MODEL_PATH}", provider)
    assert set(called) == {entry.called for entry in listed(world, caller, provider)}


@settings(max_examples=600)
@given(worlds(), CALLER)
def test_at_the_root(world: World, caller: Caller) -> None:
    """One that is listed without a route (a MaaSModelRef) is found and told so: 503 and not 404."""
    expected = {name for entry in listed(world, caller) for name in open_names(entry, caller)}
    found = set()
    for name in NAMES:
        try:
            world.calls.anywhere(caller, name)
        except ApiError:
            continue
        found.add(name)
    assert found == expected


@settings(max_examples=600)
@given(worlds(), CALLER)
def test_a_call_at_the_root_goes_to_what_is_listed(world: World, caller: Caller) -> None:
    seen = listed(world, caller)
    routes = {f"external/{entry.provider}" if entry.provider else entry.path_prefix.strip("/") for entry in seen}
    for what in ids_called(world, caller, f"/{MODEL_PATH}").values():
        assert what.route in routes


@settings(max_examples=600)
@given(worlds(), CALLER)
def test_at_the_route_of_a_model_in_the_cluster(world: World, caller: Caller) -> None:
    """Of several entries at one path the caller needs one; of several with one id the path of each leads to it."""
    one_each = {entry.path_prefix for entry in listed(world, caller) if entry.path_prefix}
    for entry in world.entries:
        if not entry.path_prefix:
            continue
        path = f"{entry.path_prefix}{MODEL_PATH}"
        called = ids_called(world, caller, path)
        if entry.path_prefix in one_each:
            assert called, f"{entry.path_prefix} is listed"
        if called:
            alone = caller._replace(models=None)
            assert any(item.path_prefix == entry.path_prefix for item in _open_entries(world, alone)), (
                f"{entry.path_prefix} is closed"
            )


def _open_entries(world: World, caller: Caller) -> list[ModelEntry]:
    """Every entry that the rule opens, also those that another one of the same id keeps off the listing."""
    found = []
    for entry in world.entries:
        only = Calls(Held(snapshot(entry)), world.calls._access)
        if any(True for _ in listed(World(only, world.judgement, [entry]), caller)):
            found.append(entry)
    return found


@settings(max_examples=400)
@given(worlds(), CALLER)
def test_what_the_catalog_does_not_have_is_never_callable(world: World, caller: Caller) -> None:
    known = {name for entry in world.entries for name in (entry.id, *entry.aliases, entry.called)}
    for name in {*NAMES, "zzz"} - known:
        for path in (f"/{MODEL_PATH}", f"/external/openai/{MODEL_PATH}"):
            assert (
                passed(lambda path=path, name=name: world.judgement.judge(Call("POST", path, Named(name)), caller))
                is None
            )
