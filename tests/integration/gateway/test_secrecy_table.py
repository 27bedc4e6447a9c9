"""``make secrecy`` finds out whoever lets a key pass; the routes that lead to models, of every gateway."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from maas_api.demo.simulators.server import Received
from maas_api.gateway import envoy
from maas_api.gateway.envoy.model_name import unread
from maas_api.gateway.process import EnvoyProcess
from maas_api.keys import format as keys
from tests.matrix.rows import PLACE
from tests.matrix.world import World
from tests.matrix.world import world as running
from tests.secrecy.__main__ import GATEWAYS, judged
from tests.secrecy.places import BODIES, SPELLED, Draft, basic, escaped
from tests.secrecy.routes import Route, routes
from tests.secrecy.table import Row, row, service_log, shows

KEY = keys.make(lambda count: bytes(range(200, 200 + count))).plaintext
CHAT = f"POST {PLACE}/v1/chat/completions"
TRIED = (CHAT, "POST /external/openai/v1/responses", "POST /v1/messages")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("secrecy")


@pytest.fixture(scope="module")
def world(folder: Path) -> Iterator[World]:
    with service_log(folder / "service.log"), running(folder) as made:
        yield made


def found(world: World, gateway: str, wanted: str) -> Row:
    return row(world, gateway, next(route for route in routes(gateway) if str(route) == wanted))


@pytest.mark.xdist_group("secrecy")
@pytest.mark.parametrize("gateway", GATEWAYS)
@pytest.mark.parametrize("route", TRIED)
def test_no_model_and_no_log_is_shown_a_key(world: World, folder: Path, gateway: str, route: str) -> None:
    one = found(world, gateway, route)
    assert sum(one.arrived.values()) > 50, "most headers are taken away, and the call goes on"
    assert one.leaks == []
    assert judged([one], folder) == 0


@pytest.mark.xdist_group("secrecy")
def test_a_gateway_that_lets_keys_pass_is_found_out(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("maas_api.gateway.envoy.routes.nameless", unread)  # as a model's own path once was
    to = envoy.Upstream.from_url(world.simulators["local"].url)
    plan = envoy.Plan(
        listen=envoy.Address("127.0.0.1", 0),
        maas_api=envoy.Upstream.from_url(world.service),
        models=(envoy.LocalRoute(path_prefix=f"{PLACE}/", upstream=to),),
    )
    with EnvoyProcess(tmp_path / "native") as process:
        process.start(plan)
        with httpx.Client(base_url=f"http://127.0.0.1:{process.address.port}", trust_env=False) as client:
            careless = world._replace(gateways={"native": client})
            one = found(careless, "native", CHAT)
    told = "".join(one.leaks)
    assert all(f"body, {name}" in told for name in BODIES)
    assert "headers, referer" not in told, "that is taken away by name"
    assert "headers, x-anything" in told
    assert judged([one], tmp_path) == 1


@pytest.mark.parametrize("spell", [*SPELLED.values(), escaped, basic], ids=[*SPELLED, "JSON", "base64"])
def test_a_key_is_seen_however_it_is_spelled(spell: object, tmp_path: Path) -> None:
    assert callable(spell)
    request = Received("POST", "/", (), f'{{"a":"{spell(KEY)}"}}'.encode(), None)
    assert shows(request, KEY)
    assert not shows(request._replace(body=b"{}"), KEY)
    counted = Row("native", "POST /", KEY, {"body": Counter({200: 1})}, {"body": 1}, [])
    assert judged([counted], tmp_path) == 0
    (tmp_path / "access.log").write_text(f"GET /{'x' if spell is basic else spell(KEY)}\n")
    assert judged([counted], tmp_path) == (spell is not basic)


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_every_route_is_in_the_table(gateway: str) -> None:
    listed = [str(route) for route in routes(gateway)]
    assert len(set(listed)) == len(listed) >= 60
    assert {f"POST {PLACE}/v1/chat/completions", "POST /v1/chat/completions"} <= set(listed)
    assert Route(Draft("GET", f"{PLACE}/v1/models"), shut=False) in list(routes(gateway))
