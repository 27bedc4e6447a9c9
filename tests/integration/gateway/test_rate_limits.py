"""Rates of under an hour through the real Envoy: the local gateway's and the rendered, and a rate limit service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from maas_api import providers
from maas_api.gateway import envoy
from maas_api.gateway.envoy.secrets import INTERNAL_SECRET, provider_secret
from maas_api.gateway.manifests.limits import rate, service_configuration
from maas_api.gateway.process import EnvoyProcess
from tests.support.metered import Wanted
from tests.support.place import Place, call, placed
from tests.support.rendered import CALLS, Counted, applied, bearer, client
from tests.support.rls import RateLimitService
from tests.support.wait import until

OPENAI, ANTHROPIC = (CALLS[name][1]["model"] for name in ("openai", "anthropic"))
RATES = [
    rate("requests", 8, "1m"),
    rate("tokens", 1000, "1m", "gold", OPENAI),
    rate("tokens", 1000, "1m", "gold", ANTHROPIC),
]
SMALL = Wanted("chat", False, 1, 1)


@dataclass
class Limited:
    """A gateway, and the service that it asks."""

    client: httpx.Client
    service: RateLimitService
    place: Place
    key: str

    def call(self, asked: Wanted) -> httpx.Response:
        """One call at its provider."""
        return call(self.client, self.key, asked)

    def took(self, tokens: int, calls: int = 1) -> None:
        """Wait until the service was told that so many calls took so much each."""
        until(
            lambda: (
                [hits for entries, hits in self.service.asked if entries["kind"] == "tokens"].count(tokens) >= calls
            ),
            what=f"{tokens} tokens were told",
            seconds=20,
        )

    def received(self, provider: str) -> int:
        return len(self.place.site.simulators[provider].received)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with placed(tmp_path_factory.mktemp("limited")) as found:
        yield found


@pytest.fixture(scope="module", params=["local", "istio", "kuadrant"])
def gateway(request: pytest.FixtureRequest, place: Place) -> Iterator[Limited]:
    folder = place.folder / request.param
    folder.mkdir()
    with ExitStack() as stack:
        service = stack.enter_context(RateLimitService(service_configuration(RATES)).running())
        if request.param == "local":
            address = stack.enter_context(local(place, folder, service.port))
        else:
            counted = Counted("filter", ("127.0.0.1", 1), ("127.0.0.1", service.port))
            running = applied(request.param, place.site, folder, stack, counted=counted)
            stack.callback(running.stop)
            address = stack.enter_context(client(running))
        yield Limited(address, service, place, place.key()["key"])


@contextmanager
def local(place: Place, folder: Path, port: int) -> Iterator[httpx.Client]:
    """The local gateway, that asks the service at ``port``."""
    site = place.site
    process = EnvoyProcess(folder / "local")
    process.put_secret(INTERNAL_SECRET, place.secret)
    for name, key in site.provider_keys.items():
        process.put_secret(provider_secret(name), key)
    routes = tuple(
        envoy.provider_route(
            providers.provider(name),
            ca_file=site.ca_file,
            connect_to=envoy.Address("127.0.0.1", simulator.port),
        )
        for name, simulator in site.simulators.items()
    )
    process.start(
        envoy.Plan(
            listen=envoy.Address("127.0.0.1", 0),
            maas_api=envoy.Upstream.from_url(site.service),
            providers=routes,
            rate_limit_service=envoy.Address("127.0.0.1", port),
        )
    )
    with client(process) as found:
        yield found
    process.stop()


@pytest.fixture(autouse=True)
def minute(gateway: Limited) -> None:
    """Each test has a minute of its own, at its beginning."""
    gateway.service.now += 60 - gateway.service.now % 60 + 10
    gateway.service.asked.clear()


@pytest.mark.filterwarnings("ignore:The model .* is deprecated:DeprecationWarning")
def test_a_request_too_many_is_refused_as_both_sdks_expect_until_the_minute_is_over(gateway: Limited) -> None:
    for _ in range(8):
        assert gateway.call(SMALL).status_code == 200
    before = gateway.received("openai")
    refused = gateway.call(SMALL)
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "50"
    assert refused.headers["content-type"].startswith("application/json")
    assert gateway.received("openai") == before, "no model was asked"

    base = f"{str(gateway.client.base_url).rstrip('/')}/external"
    sdk = openai.OpenAI(base_url=f"{base}/openai/v1", api_key=gateway.key, max_retries=0)
    messages: Any = [{"role": "user", "content": "Hello"}]
    with sdk, pytest.raises(openai.RateLimitError) as raised:
        sdk.chat.completions.create(model=OPENAI, messages=messages)
    assert raised.value.code == "rate_limit_exceeded"
    for _ in range(8):
        assert gateway.call(Wanted("messages", False, 1, 1)).status_code == 200, "another model"
    other = anthropic.Anthropic(base_url=f"{base}/anthropic", api_key=gateway.key, max_retries=0)
    with other, pytest.raises(anthropic.RateLimitError) as also:
        other.messages.create(model=ANTHROPIC, messages=messages, max_tokens=5)
    body: Any = also.value.body
    assert (body["type"], body["error"]["type"]) == ("error", "rate_limit_error")
    assert "more often" in body["error"]["message"]

    gateway.service.now += 60
    assert gateway.call(SMALL).status_code == 200


DIALECTS = [
    Wanted("chat", False, 700, 301, cached=100, reasoning=50),
    Wanted("chat", True, 700, 302),
    Wanted("completions", True, 700, 303),
    Wanted("responses", True, 700, 304, cached=128),
    Wanted("embeddings", False, 1005, 0),
    Wanted("messages", False, 700, 306, cached=500, written=100),
    Wanted("messages", True, 700, 307, cached=500, written=100),
]


@pytest.mark.parametrize("asked", DIALECTS, ids=lambda item: f"{item.kind} {'streamed' if item.stream else 'at once'}")
def test_what_a_call_took_counts_once_it_is_over_in_every_dialect(gateway: Limited, asked: Wanted) -> None:
    assert gateway.call(asked).status_code == 200
    gateway.took(asked.input + asked.output)
    refused = gateway.call(asked)
    assert refused.status_code == 429, "more than a thousand are spent"
    assert refused.headers["retry-after"] == "50"
    gateway.service.now += 60
    assert gateway.call(asked).status_code == 200
    gateway.took(asked.input + asked.output, calls=2)


def test_who_calls_what_on_which_subscription_is_what_is_counted(gateway: Limited) -> None:
    gateway.call(SMALL)
    gateway.took(2)
    told = {"subscription": "gold", "model": OPENAI, "user": "alice"}
    assert sorted((entries["kind"], hits) for entries, hits in gateway.service.asked) == [
        ("requests", 1),
        ("tokens", 0),
        ("tokens", 2),
    ]
    assert all(entries == {"kind": entries["kind"], **told} for entries, _ in gateway.service.asked)


def test_a_call_that_does_not_say_what_it_took_adds_nothing(gateway: Limited) -> None:
    assert gateway.call(Wanted("chat", True, 5000, 5000, told=False)).status_code == 200
    assert gateway.call(SMALL).status_code == 200
    gateway.took(2)
    assert {hits for entries, hits in gateway.service.asked if entries["kind"] == "tokens"} == {0, 2}


def test_a_call_at_the_root_is_limited_as_any_other(gateway: Limited) -> None:
    body = {**CALLS["openai"][1], "wanted": SMALL._asdict()}
    for _ in range(8):
        assert gateway.client.post("/v1/chat/completions", json=body, headers=bearer(gateway.key)).status_code == 200
    assert gateway.client.post("/v1/chat/completions", json=body, headers=bearer(gateway.key)).status_code == 429
    assert gateway.call(SMALL).status_code == 429


def test_what_runs_no_model_is_not_limited(gateway: Limited) -> None:
    for _ in range(10):
        answer = gateway.client.get("/external/openai/v1/models", headers=bearer(gateway.key))
        assert answer.status_code == 200
    assert gateway.client.get("/external/openai/v1/models").status_code == 401
    assert gateway.service.asked == []


def test_while_the_service_is_away_calls_pass(place: Place, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("away")
    with local(place, folder, 1) as address:
        key = place.key()["key"]
        for _ in range(3):
            assert call(address, key, SMALL).status_code == 200
