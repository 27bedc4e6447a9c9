"""Two services over one PostgreSQL, two workers each, an Envoy before each, and clients that spend one key's budget."""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from maas_api import providers
from maas_api.demo.certificates import Authority
from maas_api.demo.simulators.server import Simulator
from maas_api.gateway import envoy
from maas_api.gateway.envoy.secrets import INTERNAL_SECRET, provider_secret
from maas_api.gateway.process import EnvoyProcess
from tests.support.metered import PATHS, Wanted, answer
from tests.support.process import Running, running
from tests.support.wait import until

MODEL = "gpt-test"
PRICE = {"input": "2", "output": "8", "currency": "USD"}
SECRET = "a-shared-secret-of-the-test"
_USER = {"X-MaaS-Group": '["team"]'}


@dataclass
class Spent:
    """What came of clients that spent a budget until it was refused. ``used`` is the store's word, in the budget's
    unit. ``unanswered``: calls that the gateway gave up on before the service had answered; what was held for those
    cannot be spent by others for a while."""

    passed: int
    refused: int
    unanswered: int
    used: int
    seconds: float


@dataclass
class Gateways:
    """The gateways' addresses, the services behind them, and where they keep what is used."""

    addresses: tuple[str, ...]
    services: tuple[Running, ...]
    database_url: str
    envoys: tuple[EnvoyProcess, ...]

    def asked(self, method: str, path: str, *, user: str = "ann", at: int = 0, **more: Any) -> Any:
        """A request of a user's, straight at a service."""
        headers = {"X-MaaS-Username": user, **_USER}
        found = httpx.request(method, self.services[at].url + path, headers=headers, timeout=20, **more)
        assert found.status_code < 300, found.text
        return found.json()

    def mint(self, budget: Any = None, **fields: Any) -> dict[str, Any]:
        """A new key."""
        found: dict[str, Any] = self.asked("POST", "/v1/api-keys", json={"name": "key", "budget": budget, **fields})
        return found

    def call(self, client: httpx.Client, at: int, key: str, asked: Wanted) -> httpx.Response:
        """One call at a gateway's root."""
        body = {"model": MODEL, "messages": [], "stream": asked.stream, "wanted": asked._asdict()}
        url = f"{self.addresses[at]}/{PATHS[asked.kind]}"
        return client.post(url, json=body, headers={"Authorization": f"Bearer {key}"})

    def counted(self, key_id: str) -> dict[str, Any]:
        """What is counted of a key."""
        found: dict[str, Any] = self.asked("GET", f"/v1/api-keys/{key_id}/usage", params={"interval": "total"})
        return found["total"]

    def spend(self, made: Mapping[str, Any], budget: int, asked: Sequence[Wanted], clients: int = 64) -> Spent:
        """Clients at once, half of them at each gateway, who go on until ``budget`` is spent, refused or not."""
        seen, lock, over = Counter[int](), threading.Lock(), threading.Event()
        begun = time.monotonic()

        def one(number: int) -> None:
            turn = number
            with httpx.Client(trust_env=False, timeout=60) as client:
                while not over.is_set():
                    turn += 1
                    found = self.call(client, number % 2, made["key"], asked[turn % len(asked)])
                    assert found.status_code in (200, 429, 503), found.text
                    with lock:
                        seen[found.status_code] += 1
                    if found.status_code != 200:
                        over.wait(0.2)

        def spent() -> bool:
            used, left = self.standing(made["key"])
            settled = seen[503] and not left and self.counted(made["id"])["requests"] == seen[200]
            return used >= budget or bool(settled)

        with ThreadPoolExecutor(clients) as pool:
            running = [pool.submit(one, number) for number in range(clients)]
            try:
                until(spent, what="the budget is spent", seconds=300)
            finally:
                over.set()
            for client in running:
                client.result()
        seconds = time.monotonic() - begun
        until(lambda: self.counted(made["id"])["requests"] >= seen[200], what="every call is counted", seconds=60)
        return Spent(seen[200], seen[429], seen[503], self.standing(made["key"])[0], seconds)

    def standing(self, key: str) -> tuple[int, int]:
        """What is spent and what is left of the key's (first) budget: tokens, or billionths of money."""
        told = httpx.get(f"{self.services[0].url}/v1/key", headers={"Authorization": f"Bearer {key}"}, timeout=20)
        budget = told.json()["data"]["budget"][0]
        numbers = (budget[name] for name in ("used", "remaining"))
        used, left = (round(float(number) * 1e9) if "cost" in budget else int(number) for number in numbers)
        return used, left


def bound(budget: int, hold: int, takes: int) -> int:
    """How much of calls that each take as much can be spent beyond a budget: what is published in docs/usage.md."""
    return budget // hold * max(0, takes - hold) + takes


@contextmanager
def gateways(folder: Path, url: str, *, hold: int, count: int = 2, repeat_seconds: int = 60) -> Iterator[Gateways]:
    """All of it up, ``count`` of each. ``hold``: tokens held for a call; ``repeat_seconds``: how long a gateway sends
    records again that are not taken."""
    with ExitStack() as stack:
        authority = Authority()
        ca_file = authority.write(folder / "ca.pem")
        simulator = Simulator("openai", answer, certificate=authority.server("api.openai.com"), pause=0)
        upstream = stack.enter_context(simulator)
        (folder / "secret").write_text(SECRET)
        manifests = folder / "manifests"
        manifests.mkdir()
        models = [{"id": MODEL, "provider": "openai", "prices": [PRICE]}]
        registry = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "external-model-registry", "namespace": "maas-api"},
            "data": {"models": yaml.safe_dump(models)},
        }
        (manifests / "registry.yaml").write_text(yaml.safe_dump(registry))
        options = (
            "--database-url", url, "--workers", "2", "--manifests", str(manifests), "--admin-users", "root",
            "--internal-secret-file", str(folder / "secret"), "--budget-hold-tokens", str(hold),
        )  # fmt: skip
        services, envoys = [], []
        for number in range(count):
            place = folder / str(number)
            place.mkdir()
            service = stack.enter_context(running(place, *options))
            services.append(service)
            process = stack.enter_context(EnvoyProcess(place / "envoy"))
            process.put_secret(INTERNAL_SECRET, SECRET)
            process.put_secret(provider_secret("openai"), "provider-key-" + secrets.token_hex(8))
            route = envoy.provider_route(
                providers.provider("openai"), ca_file=ca_file, connect_to=envoy.Address("127.0.0.1", upstream.port)
            )
            process.start(
                envoy.Plan(
                    listen=envoy.Address("127.0.0.1", 0),
                    maas_api=envoy.Upstream.from_url(service.url),
                    providers=(route,),
                    internal_secret=True,
                    usage_repeat_seconds=repeat_seconds,
                )
            )
            envoys.append(process)
        addresses = tuple(f"http://127.0.0.1:{process.address.port}" for process in envoys)
        yield Gateways(addresses, tuple(services), url, tuple(envoys))
