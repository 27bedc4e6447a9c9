"""A service with keys, providers whose answers take what they are asked to take, and room for a gateway before them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from maas_api.app import build
from maas_api.config import load
from maas_api.demo.certificates import Authority
from maas_api.demo.simulators.server import Simulator
from tests.support.metered import PATHS, Wanted, answer
from tests.support.rendered import CALLS, REGISTRY, Site, bearer
from tests.support.serving import serving
from tests.support.wait import until

WHO = {"X-MaaS-Username": "alice", "X-MaaS-Group": '["staff"]'}


@dataclass
class Place:
    """The service and the providers; a gateway may be put before them."""

    folder: Path
    site: Site
    secret: str

    def key(self) -> dict[str, Any]:
        """A fresh key."""
        minted = httpx.post(f"{self.site.service}/v1/api-keys", json={"name": "x"}, headers=WHO, trust_env=False)
        found: dict[str, Any] = minted.json()
        return found

    def total(self, key: dict[str, Any]) -> dict[str, Any]:
        """What is counted of a key's calls."""
        url = f"{self.site.service}/v1/api-keys/{key['id']}/usage"
        found = httpx.get(url, params={"interval": "total"}, headers=WHO, trust_env=False)
        assert found.status_code == 200, found.text
        total: dict[str, Any] = found.json()["total"]
        return total

    def settled(self, key: dict[str, Any], requests: int) -> dict[str, Any]:
        """The sums once so many calls are counted."""
        until(lambda: self.total(key)["requests"] >= requests, what=f"{requests} calls were counted", seconds=60)
        return self.total(key)


@contextmanager
def placed(folder: Path) -> Iterator[Place]:
    """A running service and running providers, with their files in ``folder``."""
    with ExitStack() as stack:
        authority = Authority()
        ca_file = authority.write(folder / "ca.pem")
        simulators = {
            name: stack.enter_context(Simulator(name, answer, certificate=authority.server(f"api.{name}.com"), pause=0))
            for name in CALLS
        }
        secret = secrets.token_hex(16)
        (folder / "secret").write_text(secret)
        token = secrets.token_hex(16)
        (folder / "tokens.yaml").write_text(yaml.safe_dump([{"token": token, "username": "bob", "groups": ["staff"]}]))
        (folder / "manifests").mkdir()
        (folder / "manifests" / "registry.yaml").write_text(REGISTRY)
        settings = load(
            {
                "manifests": str(folder / "manifests"),
                "sqlite_path": str(folder / "maas.db"),
                "kubernetes": "off",
                "default_subscription": "gold",
                "validation_deadline_ms": "900",
                "usage_secret_file": str(folder / "secret"),
                "tokens_file": str(folder / "tokens.yaml"),
            },
            {},
        )
        service = stack.enter_context(serving(build(settings)))
        keys = {name: f"{name}-{secrets.token_hex(16)}" for name in CALLS}
        nowhere = stack.enter_context(httpx.Client(trust_env=False))
        model = stack.enter_context(Simulator("model", answer, pause=0))
        site = Site(simulators, keys, service, "", {}, token, ca_file, nowhere, model)
        yield Place(folder, site, secret)


def call(gateway: httpx.Client, credential: str, asked: Wanted, **more: Any) -> httpx.Response:
    """One call at its provider, read to its end."""
    provider = "anthropic" if asked.kind == "messages" else "openai"
    body = {"model": CALLS[provider][1]["model"], "stream": asked.stream, "wanted": asked._asdict(), **more}
    return gateway.post(f"/external/{provider}/{PATHS[asked.kind]}", json=body, headers=bearer(credential))
