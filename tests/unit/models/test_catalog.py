"""The catalog: merged, in order, fresh, and never emptier than what is known."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maas_api.access.decision import PUBLIC, Scope
from maas_api.kube.objects import (
    CONFIG_MAP,
    HTTP_ROUTE,
    LLM_INFERENCE_SERVICE,
    FeedState,
    FeedStatus,
    ObjectStore,
    key_of,
)
from maas_api.models.catalog import Catalog
from maas_api.models.snapshot import MAX_PAGES, Snapshot
from maas_api.models.sources.kserve import Gateway, managed_labels
from tests.support.objects import GATEWAY, GATEWAY_NAMESPACE, ON_GATEWAY, registry, route, service
from tests.support.wait import until


class StubFeed:
    """A feed whose state the test sets."""

    state: FeedState = "live"

    def status(self) -> list[FeedStatus]:
        return [FeedStatus("stub", self.state, 0.0, "")]


class World:
    """Stores, and a catalog over them."""

    def __init__(self) -> None:
        self.services = ObjectStore(LLM_INFERENCE_SERVICE)
        self.routes = ObjectStore(HTTP_ROUTE)
        self.maps = ObjectStore(CONFIG_MAP)
        self.feed = StubFeed()
        self.catalog = self.another()

    def another(self) -> Catalog:
        return Catalog(
            gateway=Gateway(GATEWAY, GATEWAY_NAMESPACE),
            registry=("maas-api", "external-model-registry"),
            stores=(self.services, self.routes, self.maps),
            feeds=(self.feed,),
        )

    def ids(self, scope: Scope = PUBLIC) -> list[str]:
        return [row.entry.id for row in self.catalog.build().view(scope).rows]


@pytest.fixture
def world() -> World:
    return World()


def test_what_is_in_the_cluster_and_what_is_registered_come_in_one_order(world: World) -> None:
    world.services.replace([service("z", model="z"), service("a", model="m")])
    world.maps.upsert(registry("[{id: n, provider: p}, {id: b, provider: p}]"))
    assert world.ids() == ["b", "m", "n", "z"]


def test_only_the_named_config_map_is_the_registry(world: World) -> None:
    world.maps.upsert(registry("[{id: a, provider: p}]", namespace="elsewhere"))
    world.maps.upsert(registry("[{id: b, provider: p}]", name="other"))
    assert world.ids() == []


def test_nothing_at_all_is_an_empty_list(world: World) -> None:
    assert world.catalog.build().view(PUBLIC).listing.plain == b'{"object":"list","data":[]}'


def test_of_one_id_the_model_in_the_cluster_is_shown_and_the_other_reported(world: World) -> None:
    world.maps.upsert(registry("[{id: same, provider: p}]"))
    world.services.upsert(service("s", model="same"))
    snapshot = world.catalog.build()
    assert [row.entry.source for row in snapshot.view(PUBLIC).rows] == ["llminferenceservices"]
    assert [str(problem) for problem in snapshot.problems] == [
        "registry maas-api/external-model-registry: id: is the id of llminferenceservices llm/s already, "
        "which is shown instead, got 'same'"
    ]
    world.services.delete(("llm", "s"))
    snapshot = world.catalog.build()
    assert [row.entry.source for row in snapshot.view(PUBLIC).rows] == ["registry"]
    assert not snapshot.problems


def test_nobody_takes_over_an_id_that_is_in_use(world: World) -> None:
    world.services.upsert(service("old", "z-team", model="same"))
    world.services.upsert(
        service("new", "a-team", model="same", metadata={"creationTimestamp": "2026-03-16T00:00:00Z"})
    )
    assert [row.entry.origin for row in world.catalog.build().view(PUBLIC).rows] == ["z-team/old"]


def test_a_caller_who_may_not_see_the_first_of_one_id_sees_the_second(world: World) -> None:
    world.services.upsert(service("s", "secret-team", model="same"))
    world.maps.upsert(registry("[{id: same, provider: p}]"))
    world.catalog.build()
    view = world.catalog.snapshot.view(Scope(namespaces=frozenset(("another",))))
    assert [row.entry.source for row in view.rows] == ["registry"]


def test_groups_hide_an_entry_from_everyone_else(world: World) -> None:
    world.maps.upsert(registry("[{id: a, provider: p}, {id: b, provider: p, groups: [ml, ops]}]"))
    assert world.ids() == ["a"]
    assert world.ids(Scope(groups=frozenset(("ml",)))) == ["a", "b"]
    assert world.ids(Scope(groups=frozenset(("sales",)))) == ["a"]
    assert world.catalog.snapshot.groups == {"ml", "ops"}


def test_overlapping_patterns_show_a_model_once(world: World) -> None:
    world.maps.upsert(registry("[{id: a/1, provider: p}, {id: a/2, provider: p}, {id: b, provider: p}]"))
    assert world.ids(Scope(models=("a/*", "a/1", "*"))) == ["a/1", "a/2", "b"]
    assert world.ids(Scope(models=("a/1", "a"))) == ["a/1"]
    assert world.ids(Scope(models=())) == []


def test_callers_of_one_scope_share_one_view(world: World) -> None:
    world.maps.upsert(registry("[{id: a, provider: p, groups: [ml]}]"))
    snapshot = world.catalog.build()
    assert snapshot.view(Scope(groups=frozenset(("ml",)))) is snapshot.view(Scope(groups=frozenset(("ml",))))


def test_a_page_is_encoded_once_and_pages_do_not_pile_up(world: World) -> None:
    world.maps.upsert(registry("[{id: a, provider: p}, {id: b, provider: p}]"))
    view = world.catalog.build().view(PUBLIC)
    assert view.page("limit=1") is view.page("limit=1")
    for number in range(2, 1000):
        view.page(f"limit={number}")
    assert len(view._pages) <= MAX_PAGES


def test_a_registry_that_does_not_parse_keeps_the_last_good_list_and_says_so(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.maps.upsert(registry("[{id: a, provider: p}]"))
    assert world.ids() == ["a"]
    world.maps.upsert(registry("[{id: a"))
    assert world.ids() == ["a"]
    assert "is not YAML" in str(world.catalog.snapshot.problems[0])
    assert "is not YAML" in caplog.text
    world.maps.upsert(registry("[{id: b, provider: p}]"))
    assert (world.ids(), world.catalog.snapshot.problems) == (["b"], ())


def test_deleting_the_registry_empties_it(world: World) -> None:
    world.maps.upsert(registry("[{id: a, provider: p}]"))
    assert world.ids() == ["a"]
    world.maps.delete(("maas-api", "external-model-registry"))
    assert world.ids() == []


def test_a_route_that_comes_moves_or_goes_changes_who_belongs(world: World) -> None:
    world.services.upsert(service("managed", model="m", router={"route": {"http": {}}}))
    world.services.upsert(service("named", model="n", router={"route": {"http": {"refs": [{"name": "r"}]}}}))
    assert world.ids() == []
    assert [omission.origin for omission in world.catalog.snapshot.omissions] == ["llm/managed", "llm/named"]
    world.routes.upsert(route("x", labels=managed_labels("managed")))
    assert world.ids() == ["m"]
    world.routes.upsert(route("r"))
    assert world.ids() == ["m", "n"]
    world.routes.upsert(route("x", labels=managed_labels("another")))
    assert world.ids() == ["n"]
    world.routes.upsert(route("r", gateway="another"))
    assert world.ids() == []
    world.routes.upsert(route("r"))
    world.services.delete(("llm", "named"))
    assert world.ids() == []


def test_a_gateway_learns_providers_and_addresses(world: World) -> None:
    world.maps.upsert(registry("[{id: a, provider: openai}, {id: b, provider: anthropic}, {id: c, provider: openai}]"))
    world.services.upsert(service("opt", address={"url": "http://10.0.0.1:8000"}))
    snapshot = world.catalog.build()
    assert snapshot.providers == ("anthropic", "openai")
    assert snapshot.local_models == (("opt", "llm", "/llm/opt/", "http://10.0.0.1:8000"),)


SERVICES = st.builds(
    service,
    st.sampled_from(("a", "b", "c")),
    st.sampled_from(("n1", "n2")),
    model=st.sampled_from((None, "same", "x/1", "x/2")),
    router=st.sampled_from((ON_GATEWAY, None, {"route": {"http": {}}}, {"route": {"http": {"refs": [{"name": "a"}]}}})),
    url=st.sampled_from((None, "https://one/", "https://two/")),
    adapters=st.sampled_from(((), ("tuned",))),
)
ROUTES = st.builds(
    route,
    st.sampled_from(("a", "b")),
    st.sampled_from(("n1", "n2")),
    gateway=st.sampled_from((GATEWAY, "other")),
    labels=st.sampled_from((None, managed_labels("a"), managed_labels("b"))),
)
REGISTRIES = st.builds(
    registry,
    st.sampled_from(
        (
            "[]",
            "[{id: same, provider: p}]",
            "[{id: x/1, provider: p, groups: [ml]}, {id: bad}]",
            "[{id: y, provider: q}]",
        )
    ),
)


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.one_of(SERVICES, ROUTES, REGISTRIES)), max_size=25))
def test_change_by_change_it_is_what_it_would_be_built_at_once(
    changes: list[tuple[bool, bool, dict[str, Any]]],
) -> None:
    world = World()
    stores = {store.kind.kind: store for store in (world.services, world.routes, world.maps)}
    for gone, built, obj in changes:
        store = stores[obj["kind"]]
        if gone:
            store.delete(key_of(obj))
        else:
            store.upsert(obj)
        if built:
            world.catalog.build()
    grown, fresh = world.catalog.build(), world.another().build()
    for scope in (PUBLIC, Scope(groups=frozenset(("ml",))), Scope(models=("x/*", "same"))):
        assert grown.view(scope).listing.plain == fresh.view(scope).listing.plain
    assert grown.entries == fresh.entries
    assert (grown.plain, grown.by_prefix, grown.groups) == (fresh.plain, fresh.by_prefix, fresh.groups)
    assert sorted(map(str, grown.problems)) == sorted(map(str, fresh.problems))
    assert set(grown.omissions) == set(fresh.omissions)


def test_a_build_that_fails_forgets_no_change(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.services.upsert(service("s", model="m"))
    with monkeypatch.context() as patch:
        patch.setattr(Catalog, "_affected", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            world.catalog.build()
        assert not world.catalog.complete
    assert world.ids() == ["m"]


def test_a_path_leads_to_every_name_of_its_model(world: World) -> None:
    world.services.upsert(service("opt", model="facebook/opt-125m", adapters=["sql"]))
    assert world.catalog.build().by_prefix == {"/llm/opt/": {"facebook/opt-125m", "sql"}}
    world.services.upsert(service("opt", model="renamed"))
    assert world.catalog.build().by_prefix == {"/llm/opt/": {"renamed"}}
    world.services.delete(("llm", "opt"))
    assert world.catalog.build().by_prefix == {}


def test_one_object_known_from_two_feeds_stays_while_one_of_them_has_it() -> None:
    stores = ObjectStore(LLM_INFERENCE_SERVICE), ObjectStore(LLM_INFERENCE_SERVICE)
    catalog = Catalog(gateway=Gateway(GATEWAY, GATEWAY_NAMESPACE), registry=("n", "r"), stores=stores)
    for store in stores:
        store.upsert(service("opt", model="m"))
    assert [row.entry.id for row in catalog.build().view(PUBLIC).rows] == ["m"]
    stores[0].delete(("llm", "opt"))
    snapshot = catalog.build()
    assert [row.entry.id for row in snapshot.view(PUBLIC).rows] == ["m"]
    assert snapshot.by_prefix == {"/llm/opt/": {"m"}}
    assert not snapshot.problems


def test_the_same_content_has_the_same_tag_in_every_process(world: World) -> None:
    objects = [service(f"s{number}", model=f"m{number}") for number in range(50)]
    world.services.replace(objects)
    world.maps.upsert(registry("[{id: a, provider: p}]"))
    first = world.catalog.build().view(PUBLIC)
    other = World()
    other.maps.upsert(registry("[{id: a, provider: p}]"))
    for obj in random.Random(4).sample(objects, len(objects)):
        other.services.upsert(obj)
        other.catalog.build()
    second = other.catalog.build().view(PUBLIC)
    assert (second.listing.etag, second.listing.plain) == (first.listing.etag, first.listing.plain)
    other.services.delete(("llm", "s7"))
    assert other.catalog.build().view(PUBLIC).listing.etag != first.listing.etag


def test_an_unchanged_world_publishes_nothing(world: World) -> None:
    first = world.catalog.build()
    world.maps.delete(("no", "such"))
    assert world.catalog.build() is first


def test_it_is_complete_once_every_feed_was_read_and_built_and_stays_so(world: World) -> None:
    world.feed.state = "waiting"
    world.catalog.build()
    assert not world.catalog.complete
    world.services.upsert(service())
    world.feed.state = "live"
    assert not world.catalog.complete, "what the feed delivered is not published yet"
    world.catalog.build()
    assert world.catalog.complete
    world.feed.state = "stale"
    assert world.catalog.complete


def test_an_object_that_cannot_be_mapped_is_reported_and_the_rest_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(obj: dict[str, Any], *_: Any) -> Any:
        raise ZeroDivisionError

    world.maps.upsert(registry("[{id: a, provider: p}]"))
    world.services.upsert(service("s"))
    monkeypatch.setattr("maas_api.models.sources.kserve.to_entry", broken)
    assert world.ids() == ["a"]
    assert [str(problem) for problem in world.catalog.snapshot.problems] == [
        "LLMInferenceService llm/s: cannot be mapped: ZeroDivisionError"
    ]


@pytest.fixture
def running(world: World) -> Iterator[World]:
    world.catalog.start()
    yield world
    world.catalog.stop()
    world.catalog.stop()


def test_running_it_follows_the_stores_and_tells_its_followers(running: World) -> None:
    seen: list[Snapshot] = []

    def fails(snapshot: Snapshot) -> None:
        raise ZeroDivisionError

    running.catalog.subscribe(fails)
    running.catalog.subscribe(seen.append)
    running.services.upsert(service("s", model="m"))
    until(lambda: [row.entry.id for row in running.catalog.snapshot.rows] == ["m"], what="the service is listed")
    until(lambda: seen and seen[-1] is running.catalog.snapshot, what="the follower heard of it")


def test_changes_that_come_together_become_one_snapshot(running: World) -> None:
    before = running.catalog.snapshot.version
    for number in range(500):
        running.services.upsert(service(f"s{number}", model=f"m{number}"))
    until(lambda: len(running.catalog.snapshot.rows) == 500, what="all are listed")
    assert running.catalog.snapshot.version - before < 50
