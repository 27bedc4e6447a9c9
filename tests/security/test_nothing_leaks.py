"""The leak test: one key and one platform token are driven through every route and every error, then everything that
came out of the service (log lines at debug level, metrics, traces, the database's files) is searched for them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
import pytest
import yaml

from maas_api.keys.format import hash_key
from tests.support.collector import Collector, collector
from tests.support.contract import document
from tests.support.process import USER, Running, running
from tests.support.wait import until

TOKEN = "platform-token-of-alice-0123456789"
PROVIDER = "sk-ant-" + "api03-" + "Qw3" * 20


@pytest.fixture(scope="module")
def traces() -> Iterator[Collector]:
    with collector() as started:
        yield started


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, traces: Collector) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("leaks")
    tokens = folder / "tokens.yaml"
    tokens.write_text(yaml.safe_dump([{"token": TOKEN, "username": "alice", "groups": ["users"]}]))
    flags = (
        "--workers", "1", "--log-level", "debug", "--access-log-sample", "1", "--tokens-file", str(tokens),
        "--last-used-flush-seconds", "0.1",
        "--otel-exporter-otlp-endpoint", f"http://127.0.0.1:{traces.port}", "--otel-exporter-otlp-insecure",
    )  # fmt: skip
    with running(folder, *flags) as started:
        yield started


def _operations() -> list[tuple[str, str]]:
    paths = document()["paths"]
    methods = ("get", "post", "put", "patch", "delete")
    return [(method.upper(), path) for path, item in paths.items() for method in item if method in methods]


def _drive(client: httpx.Client, key: str, key_id: str, key_hash: str) -> None:
    """Every operation of the contract, and paths of none, with the secrets wherever a caller might put them."""
    secrets = (key, key_hash, TOKEN, PROVIDER)
    for secret in secrets:
        bodies: list[Any] = [
            {"key": secret},
            {"name": secret, "description": secret, "labels": {secret[:60]: secret}, "expiresIn": secret},
            {"filters": {"username": secret, "status": [secret]}, "sort": {"by": secret}, secret: secret},
            {"username": "u", "groups": [secret], "requestedSubscription": secret, "requestedModel": secret},
        ]
        wheres = [
            {"Authorization": f"Bearer {secret}"},
            {"X-API-Key": secret, "Cookie": f"session={secret}"},
            {"X-Request-ID": secret, "traceparent": secret, "X-MaaS-Subscription": secret},
            {"X-MaaS-Username": "alice", "X-MaaS-Group": json.dumps([secret])},
            {**USER, "Authorization": f"Bearer {secret}", "X-MaaS-Models": json.dumps([secret]), "Origin": secret},
        ]
        for method, template in [*_operations(), ("GET", "/nowhere/{x}"), ("POST", "/internal/v1/nothing")]:
            for part in {quote(secret, safe=""), key_id}:
                path = template
                for name in _placeholders(template):
                    path = path.replace(name, part)
                for number, headers in enumerate(wheres):
                    body = bodies[number % len(bodies)]
                    client.request(method, f"{path}?key={secret}&{secret}=1", headers=headers, json=body)
                client.request(method, path, headers=USER, content=b'{"key":"' + secret.encode())
                client.request(method, path, headers=USER, content=json.dumps({"name": [secret]}))
        for path in ("/v1/models", "/external/openai/v1/chat/completions", "/llm/none/v1/models", f"/x/{secret}"):
            for headers in wheres:
                client.request("POST", "/internal/v1/authz" + path, headers=headers, json={"model": secret})
        client.get("/health", headers={"Authorization": f"Bearer {secret}"}, params={"a": secret * 50})


def _placeholders(template: str) -> list[str]:
    return ["{" + part.partition("}")[0] + "}" for part in template.split("{")[1:]]


class Out(NamedTuple):
    """What the service gave away while it was driven, by where it went, and the secrets it was driven with."""

    places: dict[str, bytes]
    secrets: dict[str, str]


@pytest.fixture(scope="module")
def out(service: Running, traces: Collector) -> Out:
    minted = httpx.post(service.url + "/v1/api-keys", json={"name": "leaks"}, headers=USER).json()
    key, key_hash = minted["key"], hash_key(minted["key"])
    assert key_hash is not None
    with httpx.Client(base_url=service.url, timeout=30) as client:
        assert client.post("/internal/v1/api-keys/validate", json={"key": key}).json()["valid"] is True
        _drive(client, key, minted["id"], key_hash)
    until(lambda: service.metric("maas_api_http_requests_total") > 500, what="the drive was counted")
    page = httpx.get(f"http://127.0.0.1:{service.metrics_port}/metrics").content
    assert service.stop() == 0
    places = {"metrics": page, "log": service.output.read_bytes(), "traces": b"".join(traces.received)}
    places |= {path.name: path.read_bytes() for path in service.output.parent.glob("keys.db*")}
    half = key.partition("_")[2]
    secrets = {"key": key, "secret half": half, "hash": key_hash, "token": TOKEN, "provider key": PROVIDER}
    return Out(places, secrets)


def test_no_secret_comes_out_anywhere(out: Out) -> None:
    found = [
        f"{name} in {place}"
        for place, content in out.places.items()
        for name, secret in out.secrets.items()
        if secret.encode() in content and not (place.startswith("keys.db") and name == "hash")
    ]
    assert not found


def test_the_search_had_something_to_find(out: Out) -> None:
    lines = [json.loads(line) for line in out.places["log"].splitlines()]
    assert sum(line["message"] == "request completed" for line in lines) > 500
    assert b"[redacted]" in out.places["log"]
    assert b"GET /v1/models" in out.places["traces"]
    assert any(out.secrets["hash"].encode() in content for name, content in out.places.items() if "keys.db" in name)


def test_callers_cannot_add_series(out: Out) -> None:
    assert out.places["metrics"].count(b"\n") < 3000
