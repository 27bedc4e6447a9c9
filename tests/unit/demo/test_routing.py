"""The demo's manifests become the routes of the validation, to simulators or to the real providers."""

from __future__ import annotations

import string
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest

from maas_api.demo.routing import Routing, Sites, catalog_of, routing
from maas_api.demo.seed import CALLS
from maas_api.gateway.envoy import Address, Tls, Upstream

CA, SYSTEM_CA = Path("/ca.pem"), Path("/system.pem")
MAAS = Upstream.from_url("http://127.0.0.1:8080")
SIMULATORS = {"openai": Address("127.0.0.1", 1001), "anthropic": Address("127.0.0.1", 1002)}


@pytest.fixture
def route(tmp_path: Path) -> Callable[[Sites], Routing]:
    """Routes for the packaged manifests."""
    for file in resources.files("maas_api.demo").joinpath("data", "manifests").iterdir():
        text = string.Template(file.read_text("utf-8")).substitute(
            model_server="https://127.0.0.1:1000", gateway="http://127.0.0.1:999"
        )
        (tmp_path / file.name).write_text(text)

    def build(sites: Sites) -> Routing:
        source, catalog = catalog_of(tmp_path)
        source.load()
        return routing(catalog.build(), sites, listen=Address("127.0.0.1", 0), maas_api=MAAS)

    return build


def test_every_call_of_the_validation_has_a_route(route: Callable[[Sites], Routing]) -> None:
    made = route(Sites(CA, SIMULATORS, {}))
    assert made.left_out == ()
    prefixes = [model.path_prefix for model in made.plan.models]
    prefixes += [item.provider.path_prefix for item in made.plan.providers]
    for call in CALLS:
        assert [prefix for prefix in prefixes if call.path.startswith(prefix)]
    assert made.plan.internal_secret


def test_a_simulator_is_verified_as_the_provider_it_stands_in_for(route: Callable[[Sites], Routing]) -> None:
    upstreams = {item.provider.name: item.upstream for item in route(Sites(CA, SIMULATORS, {})).plan.providers}
    assert (upstreams["openai"].host, upstreams["openai"].port) == ("127.0.0.1", 1001)
    assert upstreams["openai"].host_header == "api.openai.com"
    assert upstreams["openai"].tls == Tls(sni="api.openai.com", ca_file=CA)


def test_a_real_provider_is_reached_at_its_own_name_and_verified_by_the_system(
    route: Callable[[Sites], Routing],
) -> None:
    sites = Sites(CA, {"openai": SIMULATORS["openai"]}, {"anthropic": SYSTEM_CA})
    upstreams = {item.provider.name: item.upstream for item in route(sites).plan.providers}
    assert (upstreams["anthropic"].host, upstreams["anthropic"].port) == ("api.anthropic.com", 443)
    assert upstreams["anthropic"].tls == Tls(sni="api.anthropic.com", ca_file=SYSTEM_CA)
    assert upstreams["openai"].host == "127.0.0.1"


def test_a_provider_without_a_key_here_is_left_out_and_named(route: Callable[[Sites], Routing]) -> None:
    made = route(Sites(CA, {"openai": SIMULATORS["openai"]}, {}))
    assert [item.provider.name for item in made.plan.providers] == ["openai"]
    assert made.left_out == ("no route /external/anthropic/: this demo has neither a simulator nor a key for it",)
