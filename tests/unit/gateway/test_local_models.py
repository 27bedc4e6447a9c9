"""From the catalog's snapshot to routes, and to what an allow-list is compared with."""

from __future__ import annotations

from pathlib import Path

import pytest

from maas_api.gateway.local_models import local_routes
from maas_api.models.model import LocalModel, ModelEntry
from maas_api.models.snapshot import Row, Snapshot, rank

CA = Path("/ca.pem")


def entry(
    identifier: str,
    *,
    namespace: str = "llm",
    name: str = "opt",
    address: str = "http://127.0.0.1:8000",
    aliases: tuple[str, ...] = (),
) -> ModelEntry:
    return ModelEntry(
        id=identifier,
        created=1,
        owned_by=namespace,
        ready=True,
        source="llminferenceservices",
        origin=f"{namespace}/{name}",
        aliases=aliases,
        local=LocalModel(name, namespace, f"/{namespace}/{name}/", address),
    )


def snapshot(*entries: ModelEntry) -> Snapshot:
    return Snapshot(1, tuple(Row(rank(item), item, b"") for item in sorted(entries, key=rank)))


class TestRoutes:
    def test_a_model_is_reached_at_its_namespace_and_name(self) -> None:
        found = local_routes(snapshot(entry("facebook/opt", address="http://opt.llm.svc:8000/base")))
        (route,) = found.routes
        assert route.path_prefix == "/llm/opt/"
        assert (route.upstream.host, route.upstream.port, route.upstream.base_path) == ("opt.llm.svc", 8000, "/base/")
        assert found.problems == ()

    def test_two_ids_of_one_object_share_a_route(self) -> None:
        assert len(local_routes(snapshot(entry("a"), entry("b"))).routes) == 1

    def test_a_server_that_runs_several_models_is_marked(self) -> None:
        """LoRA adapters: what is asked for stands in the body alone, so the gateway has to show it."""
        for names, several in ((frozenset({"a"}), False), (frozenset({"a", "a-alias"}), True)):
            item = entry("a")
            known = Snapshot(1, (Row(rank(item), item, b""),), by_prefix={"/llm/opt/": names})
            assert [route.several_names for route in local_routes(known).routes] == [several]

    def test_a_model_without_an_address_has_none(self) -> None:
        assert local_routes(snapshot(entry("a", address=""))) == ((), ())

    @pytest.mark.parametrize(
        ("bad", "rule"),
        [
            (entry("a", namespace="v1"), "belongs to the gateway"),
            (entry("a", namespace="external"), "belongs to the gateway"),
            (entry("a", address="ftp://opt"), "http:// or https://"),
            (entry("a", address="https://opt"), "needs the file of the CAs"),
        ],
    )
    def test_one_that_cannot_be_routed_is_reported_and_the_others_stay(self, bad: ModelEntry, rule: str) -> None:
        found = local_routes(snapshot(bad, entry("good", name="good")))
        assert [route.path_prefix for route in found.routes] == ["/llm/good/"]
        (problem,) = found.problems
        assert rule in str(problem)
        assert problem.where == bad.origin

    def test_https_is_verified_by_the_given_authority(self) -> None:
        (route,) = local_routes(snapshot(entry("a", address="https://opt.llm.svc")), ca_file=CA).routes
        assert route.upstream.tls is not None
        assert (route.upstream.tls.sni, route.upstream.tls.ca_file) == ("opt.llm.svc", CA)
