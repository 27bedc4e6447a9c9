"""The gateways of the matrix: the real service, and Envoy as the laptop runs it, as Istio would, and with Kuadrant."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import yaml

from maas_api import providers
from maas_api.app import build
from maas_api.config import load
from maas_api.demo.certificates import Authority
from maas_api.demo.simulators.anthropic_api import anthropic_api
from maas_api.demo.simulators.model_server import model_server
from maas_api.demo.simulators.openai_api import openai_api
from maas_api.demo.simulators.server import Simulator
from maas_api.gateway import envoy
from maas_api.gateway.envoy.secrets import provider_secret
from maas_api.gateway.process import EnvoyProcess
from tests.matrix.rows import CALLERS, CLAUDE, MINI, OPT, PLACE, STAFF_ONLY, Row
from tests.support.kubernetes import ROOT
from tests.support.rendered import Site, applied
from tests.support.serving import serving
from tests.support.wait import until
from tests.unit.subscriptions.objects import policy, reference, subscription

MODEL = PLACE.rpartition("/")[2]
REGISTRY = [
    {"id": MINI, "provider": "openai"},
    {"id": STAFF_ONLY, "provider": "openai", "groups": ["staff"]},
    {"id": CLAUDE, "provider": "anthropic"},
]


class World(NamedTuple):
    """A client of each gateway, the credential of each caller, what counts the calls that arrive at models, and the
    service's URL."""

    gateways: dict[str, httpx.Client]
    credentials: dict[str, dict[str, str]]
    simulators: dict[str, Simulator]
    service: str

    def ask(self, gateway: str, row: Row, caller: str) -> httpx.Response:
        """One cell's request."""
        return self.gateways[gateway].request(row.method, row.path, json=row.body, headers=self.credentials[caller])

    def arrived(self) -> int:
        """Requests that any model's server has seen."""
        return sum(len(simulator.received) for simulator in self.simulators.values())


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Everything up and its keys minted."""
    with ExitStack() as stack:
        authority = Authority()
        ca_file = authority.write(folder / "ca.pem")
        keys = {name: f"{name}-{secrets.token_hex(16)}" for name in ("openai", "anthropic")}
        simulators = {
            name: stack.enter_context(
                Simulator(name, answer(keys[name]), certificate=authority.server(f"api.{name}.com"))
            )
            for name, answer in (("openai", openai_api), ("anthropic", anthropic_api))
        }
        local = stack.enter_context(Simulator("local", model_server(OPT)))
        token = secrets.token_hex(16)
        service = stack.enter_context(serving(build(load(_settings(folder, token), {}))))
        credentials = {"nobody": {}, "junk": _bearer("sk-oai-a_b"), "token": _bearer(token)}
        with httpx.Client(base_url=service, trust_env=False, timeout=20) as direct:
            until(lambda: direct.get("/readyz").status_code == 200, what="the service is ready")
            credentials |= {
                "unlimited": _mint(direct, "alice", "staff", subscription="gold"),
                "limited": _mint(direct, "alice", "staff", subscription="gold", models=[MINI]),
                "other-group": _mint(direct, "gus", "guests", subscription="gold"),
                "other-subscription": _mint(direct, "alice", "staff", subscription="silver"),
            }
        process = stack.enter_context(EnvoyProcess(folder / "native"))
        for name, key in keys.items():
            process.put_secret(provider_secret(name), key)
        process.start(_plan(service, local, simulators, ca_file))
        native = stack.enter_context(_client(process.address.port))
        site = Site(
            simulators=simulators,
            provider_keys=keys,
            service=service,
            key="",
            limited={},
            token=token,
            ca_file=ca_file,
            local=native,
            model=local,
        )
        gateways = {"native": native}
        for mode in ("istio", "kuadrant"):
            (folder / mode).mkdir()
            running = stack.enter_context(applied(mode, site, folder / mode, stack, authorizer_up=True))
            gateways[mode] = stack.enter_context(_client(running.address.port))
        yield World(gateways, {name: credentials[name] for name in CALLERS}, {**simulators, "local": local}, service)


def _settings(folder: Path, token: str) -> dict[str, str]:
    manifests = folder / "manifests"
    manifests.mkdir()
    model = ROOT / "examples" / "manifests" / f"{MODEL}.yaml"
    (manifests / "model.yaml").write_text(model.read_text())
    objects = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "external-model-registry", "namespace": "maas-api"},
            "data": {"models": json.dumps(REGISTRY)},
        },
        subscription("gold", groups=("staff", "guests"), models=[reference(MODEL)]),
        subscription("silver", groups=("staff",), models=[reference("another")]),
        policy("opens", MODEL, "another", groups=("staff", "guests")),
    ]
    (manifests / "all.yaml").write_text(yaml.safe_dump_all(objects))
    users = folder / "tokens.yaml"
    users.write_text(yaml.safe_dump([{"token": token, "username": "alice", "groups": ["staff"]}]))
    return {
        "manifests": str(manifests),
        "sqlite_path": str(folder / "maas.db"),
        "kubernetes": "off",
        "tokens_file": str(users),
        "validation_deadline_ms": "900",
    }


def _plan(service: str, local: Simulator, simulators: dict[str, Simulator], ca_file: Path) -> envoy.Plan:
    return envoy.Plan(
        listen=envoy.Address("127.0.0.1", 0),
        maas_api=envoy.Upstream.from_url(service),
        models=(envoy.LocalRoute(path_prefix=f"{PLACE}/", upstream=envoy.Upstream.from_url(local.url)),),
        providers=tuple(
            envoy.provider_route(
                providers.provider(name), ca_file=ca_file, connect_to=envoy.Address("127.0.0.1", simulator.port)
            )
            for name, simulator in simulators.items()
        ),
    )


def _mint(direct: httpx.Client, user: str, group: str, **fields: object) -> dict[str, str]:
    identity = {"X-MaaS-Username": user, "X-MaaS-Group": json.dumps([group])}
    answer = direct.post("/v1/api-keys", json={"name": "matrix", **fields}, headers=identity)
    assert answer.status_code == 201, answer.text
    return _bearer(answer.json()["key"])


def _bearer(credential: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {credential}"}


def _client(port: int) -> httpx.Client:
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20)
