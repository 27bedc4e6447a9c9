"""While the demo is kept, a part that ends by itself ends the demo, and what cannot be routed is told once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from maas_api.demo import follow
from maas_api.demo.follow import Follower
from maas_api.demo.process import StartError
from maas_api.demo.routing import Sites, catalog_of, routing
from maas_api.gateway.envoy import Address, Plan, Upstream
from maas_api.gateway.process import EnvoyError

REGISTRY = """
apiVersion: v1
kind: ConfigMap
metadata: {name: external-model-registry, namespace: maas-api}
data:
  models: |
    - {id: gpt, provider: openai}
"""


class FakeEnvoy:
    """Takes plans, or refuses them."""

    def __init__(self) -> None:
        self.running = True
        self.refusal = ""
        self.log_file = Path("/envoy.log")
        self.plans: list[Plan] = []

    def apply(self, plan: Plan) -> None:
        if self.refusal:
            raise EnvoyError(self.refusal)
        self.plans.append(plan)


@pytest.fixture
def stack(tmp_path: Path) -> Any:
    (tmp_path / "registry.yaml").write_text(REGISTRY)
    source, catalog = catalog_of(tmp_path)
    source.load()
    catalog.build()
    sites = Sites(Path("/ca.pem"), {"openai": Address("127.0.0.1", 1), "anthropic": Address("127.0.0.1", 2)}, {})

    def route() -> Any:
        maas_api = Upstream.from_url("http://127.0.0.1:3")
        return routing(catalog.snapshot, sites, listen=Address("127.0.0.1", 0), maas_api=maas_api)

    return SimpleNamespace(
        source=source,
        catalog=catalog,
        routing=route,
        envoy=FakeEnvoy(),
        service=SimpleNamespace(running=True, tail=lambda: "the last words"),
        file=tmp_path / "registry.yaml",
    )


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "LOOK_SECONDS", 0.01)


def followed(stack: Any, until: str, first: Callable[[], object]) -> list[str]:
    """What is told until a sentence that holds ``until``; ``first`` happens once following has begun."""
    ended, sentences = threading.Event(), []

    def say(sentence: str) -> None:
        sentences.append(sentence)
        if until in sentence:
            ended.set()

    threading.Timer(0, first).start()
    Follower(stack, say).run(ended)
    return sentences


def test_a_service_that_ends_by_itself_ends_the_demo_with_its_last_words(stack: Any) -> None:
    stack.service.running = False
    with pytest.raises(StartError, match=r"(?s)maas-api serve ended by itself.*the last words"):
        followed(stack, "never", lambda: None)


def test_an_envoy_that_ends_by_itself_ends_the_demo(stack: Any) -> None:
    stack.envoy.running = False
    with pytest.raises(StartError, match=r"Envoy ended by itself, see /envoy\.log"):
        followed(stack, "never", lambda: None)


def test_a_new_provider_is_handed_to_the_gateway(stack: Any) -> None:
    text = REGISTRY + "    - {id: claude, provider: anthropic}\n"
    told = followed(stack, "routes renewed", lambda: stack.file.write_text(text))
    assert told == ["models: +claude (now 2)", "gateway: routes renewed, no restart"]
    (plan,) = stack.envoy.plans
    assert [route.provider.name for route in plan.providers] == ["anthropic", "openai"]


def test_another_model_of_a_known_provider_changes_no_route(stack: Any) -> None:
    text = REGISTRY + "    - {id: gpt-2, provider: openai}\n"
    assert followed(stack, "+gpt-2", lambda: stack.file.write_text(text)) == ["models: +gpt-2 (now 2)"]
    assert stack.envoy.plans == []


def test_a_provider_without_a_place_is_told_and_the_others_stay(stack: Any) -> None:
    text = REGISTRY + "    - {id: llama, provider: elsewhere}\n"
    told = followed(stack, "no route /external/elsewhere/", lambda: stack.file.write_text(text))
    assert told[0] == "models: +llama (now 2)"
    assert stack.envoy.plans == []


def test_a_refusal_of_the_gateway_is_told(stack: Any) -> None:
    stack.envoy.refusal = "Envoy refused clusters.yaml"
    text = REGISTRY + "    - {id: claude, provider: anthropic}\n"
    told = followed(stack, "gateway:", lambda: stack.file.write_text(text))
    assert told[-1] == "gateway: Envoy refused clusters.yaml"
