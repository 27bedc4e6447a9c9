"""Three kinds of gateway that the rendered resources were applied to, and the service behind them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest
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
from tests.support.kubernetes import ROOT
from tests.support.rendered import CALLS, MODEL, MODES, REGISTRY, Cluster, Site, applied, client
from tests.support.serving import serving


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with ExitStack() as stack:
        authority = Authority()
        ca_file = authority.write(folder / "ca.pem")
        keys = {name: f"{name}-{secrets.token_hex(16)}" for name in CALLS}
        simulators = {
            name: stack.enter_context(
                Simulator(name, answer(keys[name]), certificate=authority.server(f"api.{name}.com"))
            )
            for name, answer in (("openai", openai_api), ("anthropic", anthropic_api))
        }
        token = secrets.token_hex(16)
        (folder / "tokens.yaml").write_text(
            yaml.safe_dump([{"token": token, "username": "alice", "groups": ["staff"]}])
        )
        (folder / "manifests").mkdir()
        (folder / "manifests" / "registry.yaml").write_text(REGISTRY)
        (folder / "manifests" / "model.yaml").write_text((ROOT / f"examples/manifests/{MODEL}.yaml").read_text())
        model = stack.enter_context(Simulator("model", model_server("facebook/opt-125m")))
        settings = load(
            {
                "manifests": str(folder / "manifests"),
                "sqlite_path": str(folder / "maas.db"),
                "kubernetes": "off",
                "default_subscription": "default",
                "validation_deadline_ms": "900",
                "tokens_file": str(folder / "tokens.yaml"),
            },
            {},
        )
        service = stack.enter_context(serving(build(settings)))
        identity = {"X-MaaS-Username": "alice", "X-MaaS-Group": '["staff"]'}
        minted = httpx.post(f"{service}/v1/api-keys", json={"name": "test"}, headers=identity, trust_env=False)
        assert minted.status_code == 201, minted.text
        limited = {
            name: httpx.post(
                f"{service}/v1/api-keys",
                json={"name": name, "models": [call["model"]]},
                headers=identity,
                trust_env=False,
            ).json()["key"]
            for name, (_, call) in CALLS.items()
        }

        process = stack.enter_context(EnvoyProcess(folder / "local"))
        for name, key in keys.items():
            process.put_secret(provider_secret(name), key)
        process.start(
            envoy.Plan(
                listen=envoy.Address("127.0.0.1", 0),
                maas_api=envoy.Upstream.from_url(service),
                providers=tuple(
                    envoy.provider_route(
                        providers.provider(name),
                        ca_file=ca_file,
                        connect_to=envoy.Address("127.0.0.1", simulators[name].port),
                    )
                    for name in CALLS
                ),
            )
        )
        local = stack.enter_context(client(process))
        yield Site(simulators, keys, service, minted.json()["key"], limited, token, ca_file, local, model)


@pytest.fixture(scope="package", params=MODES)
def cluster(request: pytest.FixtureRequest, site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp(request.param)
    with ExitStack() as stack:
        running = stack.enter_context(applied(request.param, site, folder, stack, authorizer_up=True))
        yield Cluster(request.param, stack.enter_context(client(running)))
