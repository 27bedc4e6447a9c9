"""A key with a budget, through a real Envoy, the real authorizer and the real store: passes, is counted, is refused."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import anthropic
import httpx
import openai
import pytest
import yaml

from maas_api import migrations, providers
from maas_api.app import build
from maas_api.config import load
from maas_api.demo.certificates import Authority
from maas_api.demo.simulators.server import Simulator
from maas_api.gateway import envoy
from maas_api.gateway.envoy.secrets import INTERNAL_SECRET, provider_secret
from maas_api.gateway.process import EnvoyProcess
from maas_api.observability.exposition import current
from tests.matrix.rows import PLACE
from tests.support.kubernetes import ROOT
from tests.support.metered import Wanted, answer
from tests.support.serving import serving
from tests.support.wait import until
from tests.unit.subscriptions.objects import policy, reference, subscription

REGISTRY = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "external-model-registry", "namespace": "maas-api"},
    "data": {
        "models": yaml.safe_dump(
            [
                {
                    "id": "gpt-test",
                    "provider": "openai",
                    "prices": [{"input": "2", "output": "8", "currency": "USD"}],
                },
                {"id": "claude-test", "provider": "anthropic"},
            ]
        )
    },
}
MODEL = PLACE.rpartition("/")[2]
LIMITED = reference(MODEL) | {"tokenRateLimits": [{"limit": 300, "window": "24h"}, {"limit": 10, "window": "1m"}]}
"""Of the windows the service keeps the one of a day; the one of a minute is the gateway's."""
OBJECTS = (
    REGISTRY,
    subscription("gold", groups=("team",), models=[LIMITED]),
    policy("opens", MODEL, groups=("team",)),
)
PROVIDERS = ("openai", "anthropic")
HOLD = 100


@dataclass
class Site:
    """The gateway's address, and the service behind it as users and admins reach it."""

    gateway: str
    client: httpx.Client
    service: httpx.Client
    process: EnvoyProcess

    def asked(self, method: str, path: str, *, user: str = "ann", **more: Any) -> Any:
        """A request of a user's, straight at the service."""
        headers = {"X-MaaS-Username": user, "X-MaaS-Group": '["team"]'}
        found = self.service.request(method, path, headers=headers, **more)
        assert found.status_code < 300, found.text
        return found.json()

    def mint(self, **fields: Any) -> dict[str, Any]:
        """A new key."""
        found: dict[str, Any] = self.asked("POST", "/v1/api-keys", json={"name": "key", **fields})
        return found

    def call(self, key: str, asked: Wanted, *, model: str = "gpt-test", at: str = "") -> httpx.Response:
        """One chat call at the gateway's root, or at a model's own path."""
        body = {"model": model, "messages": [], "stream": asked.stream, "wanted": asked._asdict()}
        return self.client.post(f"{at}/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {key}"})

    def total(self, made: dict[str, Any]) -> dict[str, Any]:
        """What is counted of a key."""
        found: dict[str, Any] = self.asked("GET", f"/v1/api-keys/{made['id']}/usage", params={"interval": "total"})
        return found["total"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("spending")
    with ExitStack() as stack:
        authority = Authority()
        ca_file = authority.write(folder / "ca.pem")
        upstreams = {
            name: stack.enter_context(Simulator(name, answer, certificate=authority.server(f"api.{name}.com"), pause=0))
            for name in PROVIDERS
        }
        secret = secrets.token_hex(16)
        (folder / "secret").write_text(secret)
        manifests = folder / "manifests"
        manifests.mkdir()
        (manifests / "all.yaml").write_text(yaml.safe_dump_all(OBJECTS))
        (manifests / "model.yaml").write_text((ROOT / "examples" / "manifests" / f"{MODEL}.yaml").read_text())
        local = stack.enter_context(Simulator("metered", answer, pause=0))
        url = f"sqlite:///{folder / 'maas.db'}"
        migrations.upgrade(url)
        flags = {
            "internal_secret_file": str(folder / "secret"),
            "kubernetes": "off",
            "manifests": str(manifests),
            "database_url": url,
            "default_subscription": "gold",
            "admin_users": "root",
            "budget_hold_tokens": str(HOLD),
        }
        base = stack.enter_context(serving(build(load(flags, {}))))
        plan = envoy.Plan(
            listen=envoy.Address("127.0.0.1", 0),
            maas_api=envoy.Upstream.from_url(base),
            providers=tuple(
                envoy.provider_route(
                    providers.provider(name),
                    ca_file=ca_file,
                    connect_to=envoy.Address("127.0.0.1", upstream.port),
                )
                for name, upstream in upstreams.items()
            ),
            models=(envoy.LocalRoute(path_prefix=f"{PLACE}/", upstream=envoy.Upstream.from_url(local.url)),),
            internal_secret=True,
        )
        process = stack.enter_context(EnvoyProcess(folder / "envoy"))
        process.put_secret(INTERNAL_SECRET, secret)
        for name in PROVIDERS:
            process.put_secret(provider_secret(name), "provider-key")
        process.start(plan)
        address = f"http://127.0.0.1:{process.address.port}"
        client = stack.enter_context(httpx.Client(base_url=address, trust_env=False, timeout=30))
        service = stack.enter_context(httpx.Client(base_url=base, trust_env=False, timeout=30))
        made = Site(address, client, service, process)
        yield made


def test_a_call_is_counted_under_its_key_subscription_model_and_provider(site: Site) -> None:
    made = site.mint()
    asked = Wanted("chat", True, 2006, 300, cached=1920, reasoning=200)
    assert site.call(made["key"], asked).status_code == 200
    until(lambda: site.total(made)["requests"] == 1, what="the call was counted")
    query = {"interval": "total", "groupBy": "key,user,subscription,model,provider,endpoint", "key": made["id"]}
    (line,) = site.asked("GET", "/v1/usage", params=query)["data"]
    assert [line[name] for name in ("user", "subscription", "model", "provider", "endpoint", "keyName")] == [
        "ann", "gold", "gpt-test", "openai", "chat", "key",
    ]  # fmt: skip
    assert (line["inputTokens"], line["cachedInputTokens"], line["outputTokens"]) == (2006, 1920, 300)


def test_refused_calls_are_nobody_s(site: Site) -> None:
    made = site.mint()
    site.call("sk-oai-" + "none_such", Wanted("chat", False, 10, 5))
    assert site.call(made["key"], Wanted("chat", False, 10, 5)).status_code == 200
    until(lambda: site.total(made)["requests"] == 1, what="the call was counted")


def test_a_budget_is_kept_and_says_what_is_left(site: Site) -> None:
    made = site.mint(budget={"tokens": 1_000, "per": "total"})
    first = site.call(made["key"], Wanted("chat", False, 60, 40))
    assert first.status_code == 200
    assert first.headers["x-ratelimit-limit-tokens"] == "1000"
    assert int(first.headers["x-ratelimit-remaining-tokens"]) <= 900
    passed = 1
    for _ in range(40):
        found = site.call(made["key"], Wanted("chat", False, 60, 40))
        if found.status_code != 200:
            break
        passed += 1
    until(lambda: site.total(made)["requests"] == passed, what="the calls were counted")
    assert site.total(made)["totalTokens"] <= 1_000
    assert (found.status_code, found.json()["error"]["code"]) == (429, "insufficient_quota")
    assert found.json()["error"]["message"].startswith("You exceeded your current quota: this API key's budget of 1000")
    assert (found.headers["x-ratelimit-remaining-tokens"], found.headers["x-should-retry"]) == ("0", "false")
    assert "retry-after" not in found.headers  # it never begins anew


def test_a_budget_of_an_hour_says_when_it_begins_anew(site: Site) -> None:
    made = site.mint(budget={"tokens": 1, "per": "hour"})
    assert site.call(made["key"], Wanted("chat", False, 60, 40)).status_code == 200
    refused = site.call(made["key"], Wanted("chat", False, 60, 40))
    assert refused.status_code == 429
    assert 0 < int(refused.headers["retry-after"]) <= 3600
    assert refused.headers["x-ratelimit-reset-tokens"].endswith("s")


def test_both_sdks_know_it_for_a_rate_limit(site: Site) -> None:
    made = site.mint(budget={"tokens": 1, "per": "day"})
    assert site.call(made["key"], Wanted("chat", False, 60, 40)).status_code == 200
    with openai.OpenAI(base_url=f"{site.gateway}/v1", api_key=made["key"], max_retries=0) as theirs:
        with pytest.raises(openai.RateLimitError) as fault:
            theirs.chat.completions.create(model="gpt-test", messages=[{"role": "user", "content": "Hello"}])
        assert fault.value.code == "insufficient_quota"
    with (
        anthropic.Anthropic(base_url=site.gateway, api_key=made["key"], max_retries=0) as other,
        pytest.raises(anthropic.RateLimitError),
    ):
        other.messages.create(model="claude-test", max_tokens=5, messages=[{"role": "user", "content": "Hello"}])


def test_a_budget_in_money_is_kept_to_the_billionth(site: Site) -> None:
    """A call takes 60 * 2 + 40 * 8 = 440 millionths, and the dearest that may be held for one is 100 * 8."""
    made = site.mint(budget={"cost": "0.0042", "currency": "USD", "per": "total"})
    first = site.call(made["key"], Wanted("chat", False, 60, 40))
    assert first.status_code == 200
    assert first.headers["x-ratelimit-limit-cost"] == "0.0042 USD"
    assert "x-ratelimit-limit-tokens" not in first.headers
    passed = 1
    while (found := site.call(made["key"], Wanted("chat", False, 60, 40))).status_code == 200:
        passed += 1
        assert passed < 40
    assert (found.status_code, found.json()["error"]["code"]) == (429, "insufficient_quota")
    assert "budget of 0.0042 USD in total" in found.json()["error"]["message"]
    until(lambda: site.total(made)["requests"] == passed, what="the calls were counted")
    told = site.client.get("/v1/key", headers={"Authorization": f"Bearer {made['key']}"}).json()["data"]
    (standing,) = told["budget"]
    assert standing["used"] == f"{passed * 0.00044:.5f}".rstrip("0")
    assert float(standing["used"]) <= 0.0042
    assert (told["limit"], told["limit_reset"], told["currency"]) == (0.0042, None, "USD")
    assert told["limit_remaining"] == float(standing["remaining"])


def test_a_budget_in_money_opens_no_model_without_a_price(site: Site) -> None:
    made = site.mint(budget={"cost": 5, "currency": "USD", "per": "month"})
    with (
        anthropic.Anthropic(base_url=site.gateway, api_key=made["key"], max_retries=2) as theirs,
        pytest.raises(anthropic.PermissionDeniedError, match="has no price in it"),
    ):
        theirs.messages.create(model="claude-test", max_tokens=5, messages=[{"role": "user", "content": "Hello"}])
    assert site.call(made["key"], Wanted("chat", False, 60, 40)).status_code == 200


def test_a_subscription_s_limit_of_a_day_holds_over_all_keys_of_a_user(site: Site) -> None:
    keys = [site.mint()["key"] for _ in range(2)]
    asked = Wanted("chat", False, 60, 40)
    assert site.call(keys[0], asked, at=PLACE).headers["x-ratelimit-limit-tokens"] == "300"
    passed = 1
    while (found := site.call(keys[passed % 2], asked, at=PLACE)).status_code == 200:
        passed += 1
    assert passed <= 3
    assert (found.status_code, found.json()["error"]["code"]) == (429, "insufficient_quota")
    assert "subscription `gold`'s limit of 300 tokens/24h is spent" in found.json()["error"]["message"]
    assert 0 < int(found.headers["retry-after"]) <= 86_400
    other = site.asked("POST", "/v1/api-keys", user="bob", json={"name": "key"})["key"]
    assert site.call(other, asked, at=PLACE).status_code == 200
    assert site.call(keys[0], asked).status_code == 200  # another model, which no subscription limits


def test_an_admin_who_raises_the_budget_lets_the_next_call_pass(site: Site) -> None:
    made = site.mint(budget={"tokens": 1, "per": "day"})
    for expected in (200, 429):
        assert site.call(made["key"], Wanted("chat", False, 60, 40)).status_code == expected
    path = f"/v1/api-keys/{made['id']}/budget"
    site.asked("PUT", path, user="root", json={"budget": {"tokens": 5_000, "per": "day"}})
    assert site.call(made["key"], Wanted("chat", False, 60, 40)).status_code == 200


def test_a_key_with_a_budget_cannot_mint_itself_one_without(site: Site) -> None:
    made = site.mint(budget={"tokens": 1_000, "per": "day"})
    headers = {"Authorization": f"Bearer {made['key']}"}
    refused = site.client.post("/v1/api-keys", json={"name": "more"}, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (403, "limited_key")
    own = site.client.get(f"/v1/api-keys/{made['id']}", headers=headers)
    assert own.json()["budget"] == [{"tokens": 1_000, "per": "day"}]
    assert site.client.get("/v1/usage", headers=headers).status_code == 200


def test_no_secret_is_in_any_row_or_metric_or_line_of_the_gateway_s_log(
    site: Site, tmp_path_factory: pytest.TempPathFactory
) -> None:
    made = site.mint()
    assert site.call(made["key"], Wanted("chat", False, 10, 5)).status_code == 200
    until(lambda: site.total(made)["requests"] == 1, what="the call was counted")
    stored = b"".join(path.read_bytes() for path in tmp_path_factory.getbasetemp().rglob("maas.db*"))
    assert b"gpt-test" in stored
    numbers = repr(current())
    lines = site.process.access_log_file.read_text() + site.process.log_file.read_text()
    assert "gpt-test" in numbers
    assert "/v1/chat/completions" in lines
    for where in (stored.decode("latin-1"), numbers, lines):
        assert made["key"] not in where
        assert made["key"].partition("_")[2] not in where
