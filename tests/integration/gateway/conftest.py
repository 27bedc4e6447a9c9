"""A real Envoy in front of the real service and of TLS simulators, once for each file of tests."""

from __future__ import annotations

import dataclasses
import json
import secrets
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from maas_api import providers
from maas_api.app import build
from maas_api.config import load
from maas_api.demo.certificates import Authority
from maas_api.demo.simulators.anthropic_api import anthropic_api
from maas_api.demo.simulators.model_server import model_server
from maas_api.demo.simulators.openai_api import openai_api
from maas_api.demo.simulators.server import Answer, Simulator
from maas_api.gateway import authorizer, envoy
from maas_api.gateway.envoy.secrets import INTERNAL_SECRET, provider_secret
from maas_api.gateway.judgement import Judgement
from maas_api.gateway.process import EnvoyProcess
from maas_api.identity.headers import Identity
from maas_api.validation.verdict import NOT_FOUND, REVOKED_OR_EXPIRED, Verdict, accepted
from maas_api.wire import JSON, Reply, Request, RouteTable
from tests.support.callables import calls, external, local
from tests.support.serving import serving

LOCAL = "/llm/opt-125m/"
LOCAL_ID = "facebook/opt-125m"
ADAPTED, BASE, ADAPTER = "/llm/adapted/", "base-model", "an-adapter"
"""A server that runs two models, as one with a LoRA adapter does."""


MODELS = calls(
    local(LOCAL_ID, "opt-125m"),
    local(BASE, "adapted", aliases=(ADAPTER,)),
    *(local(name, name) for name in ("guarded", "down", "hangs-up")),
    *(external(name) for name in ("gpt-4o-mini", "gpt-4o", "gpt-4")),
    external("claude-sonnet-4-20250514", "anthropic"),
    external("gpt-of-the-board", groups=frozenset({"board"})),
)
"""What is registered. The simulators run any model of their account, as the providers do."""


class Keys:
    """Keys by name, as the key module answers; ``silent`` makes every answer a future that never comes."""

    deadline = 0.1

    def __init__(self) -> None:
        self.verdicts: dict[str, Verdict] = {}
        self.asked: list[str] = []
        self.silent = False

    def mint(self, *, models: tuple[str, ...] | None = None, **fields: Any) -> str:
        """A new key that is valid."""
        key = f"sk-oai-{secrets.token_hex(8)}_{secrets.token_hex(16)}"
        owner = {"username": "alice", "groups": ("staff",), "subscription": "gold", **fields}
        self.verdicts[key] = accepted(key_id="id", key_name="test", tenant="t", models=models, expires_at=None, **owner)
        return key

    def revoke(self, key: str) -> None:
        """From now on the key is refused."""
        self.verdicts[key] = REVOKED_OR_EXPIRED

    def check(self, raw_key: str) -> Verdict | Future[Verdict]:
        self.asked.append(raw_key)
        if self.silent:
            return Future()
        return self.verdicts.get(raw_key, NOT_FOUND)


class Tokens:
    """Platform tokens, answered by futures, as a token review is."""

    def __init__(self) -> None:
        self.users: dict[str, Identity] = {}

    def lookup(self, token: str) -> Future[Identity | None]:
        answer: Future[Identity | None] = Future()
        answer.set_result(self.users.get(token))
        return answer


@dataclasses.dataclass
class World:
    """Everything a test touches."""

    keys: Keys
    tokens: Tokens
    process: EnvoyProcess
    plan: envoy.Plan
    simulators: dict[str, Simulator]
    provider_keys: dict[str, str]
    client: httpx.Client
    questions: list[Request]
    ca_file: Path

    def received(self, name: str) -> int:
        """How many requests a simulator has seen."""
        return len(self.simulators[name].received)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("gateway")
    with ExitStack() as stack:
        authority = Authority()
        ca_file = authority.write(folder / "ca.pem")
        keys = {name: f"{name}-{secrets.token_hex(16)}" for name in ("openai", "anthropic")}
        answers: dict[str, tuple[str, Answer]] = {
            "openai": ("api.openai.com", openai_api(keys["openai"])),
            "anthropic": ("api.anthropic.com", anthropic_api(keys["anthropic"])),
        }
        simulators = {
            name: stack.enter_context(Simulator(name, answer, certificate=authority.server(host)))
            for name, (host, answer) in answers.items()
        }
        simulators["local"] = stack.enter_context(Simulator("local", model_server(LOCAL_ID)))
        simulators["adapted"] = stack.enter_context(Simulator("adapted", model_server(ADAPTER)))

        known, tokens, questions = Keys(), Tokens(), []
        internal_secret = secrets.token_hex(16)
        secret_file = folder / "internal-secret"
        secret_file.write_text(internal_secret)
        flags = {"internal_secret_file": str(secret_file), "kubernetes": "off", "sqlite_path": str(folder / "maas.db")}
        service = build(load(flags, {}))
        asked = authorizer.Authorizer(known, tokens, Judgement(MODELS))

        def ask(request: Request) -> object:
            questions.append(request)
            return asked.route(request)

        fast = RouteTable()
        fast.add_prefix(authorizer.PREFIX, ask)  # type: ignore[arg-type]  # the authorizer's answer
        fast.add("GET", "/v1/api-keys/echo", _echo)
        base = stack.enter_context(serving(dataclasses.replace(service, fast=fast, background=())))

        plan = envoy.Plan(
            listen=envoy.Address("127.0.0.1", 0),
            maas_api=envoy.Upstream.from_url(base),
            models=(
                envoy.LocalRoute(path_prefix=LOCAL, upstream=envoy.Upstream.from_url(simulators["local"].url)),
                envoy.LocalRoute(
                    path_prefix=ADAPTED,
                    upstream=envoy.Upstream.from_url(simulators["adapted"].url),
                    several_names=True,
                ),
            ),
            providers=tuple(
                envoy.provider_route(
                    providers.provider(name),
                    ca_file=ca_file,
                    connect_to=envoy.Address("127.0.0.1", simulators[name].port),
                )
                for name in answers
            ),
            internal_secret=True,
        )
        process = stack.enter_context(EnvoyProcess(folder / "envoy"))
        process.put_secret(INTERNAL_SECRET, internal_secret)
        for name, key in keys.items():
            process.put_secret(provider_secret(name), key)
        process.start(plan)
        client = stack.enter_context(
            httpx.Client(base_url=f"http://127.0.0.1:{process.address.port}", trust_env=False, timeout=20)
        )
        yield World(known, tokens, process, plan, simulators, keys, client, questions, ca_file)


def _echo(request: Request) -> Reply:
    """What arrived at the service, as JSON lines of name and value."""
    lines = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.headers]
    return Reply(200, (JSON,), json.dumps(lines).encode())
