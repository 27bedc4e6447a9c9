"""What every answer carries, and what none does."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from maas_api.app import Service, build
from maas_api.config import load
from maas_api.wire import Reply, Request
from tests.support.serving import serving

ALICE = {"X-MaaS-Username": "alice", "X-MaaS-Group": '["users"]'}


def service(folder: Path, **flags: str) -> Service:
    common = {
        "sqlite_path": str(folder / "keys.db"),
        "manifests": str(folder),
        "kubernetes": "off",
        "default_subscription": "default",
        "validation_deadline_ms": "10000",  # a busy machine's late lookup has an answer without a body
    }
    return build(load({**common, **flags}, {}))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with serving(service(tmp_path_factory.mktemp("headers"))) as base, httpx.Client(base_url=base) as session:
        yield session


def answers(client: httpx.Client) -> list[httpx.Response]:
    """One of every kind: found, minted, refused, malformed, unknown, of the hot path and not."""
    return [
        client.get("/health"),
        client.post("/v1/api-keys", json={"name": "x"}, headers=ALICE),
        client.post("/v1/api-keys", json={"name": "x"}),
        client.post("/v1/api-keys", content=b"{", headers=ALICE),
        client.get("/v1/models", headers={**ALICE, "Authorization": "Bearer x"}),
        client.get("/v1/models/none", headers={**ALICE, "Authorization": "Bearer x"}),
        client.get("/v1/subscriptions"),
        client.post("/internal/v1/api-keys/validate", json={"key": "sk-oai-a_b"}),
        client.post("/internal/v1/api-keys/validate", json={}),
        client.get("/internal/v1/authz/v1/models"),
        client.get("/no/such"),
        client.put("/health"),
        client.post("/v1/api-keys", content=b"x" * 1_100_000, headers=ALICE),
    ]


def test_every_answer_forbids_sniffing_and_names_its_type(client: httpx.Client) -> None:
    for answer in answers(client):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-request-id"]
        assert answer.headers["content-type"].replace(" ", "").lower() == "application/json;charset=utf-8"
        answer.json()


def test_no_answer_says_what_serves_it(client: httpx.Client) -> None:
    for answer in answers(client):
        assert not {"server", "x-powered-by", "via"} & set(answer.headers)
        assert "werkzeug" not in answer.text.lower()


def test_an_answer_with_a_key_is_not_to_be_kept(client: httpx.Client) -> None:
    answer = client.post("/v1/api-keys", json={"name": "x"}, headers=ALICE)
    assert answer.status_code == 201
    assert "no-store" in answer.headers["cache-control"]


def test_the_request_id_is_echoed_everywhere(client: httpx.Client) -> None:
    for path in ("/health", "/no/such", "/v1/models"):
        assert client.get(path, headers={"X-Request-ID": "abc.1"}).headers["x-request-id"] == "abc.1"


def test_no_page_may_call_unless_debug_is_on_and_it_is_local(client: httpx.Client, tmp_path: Path) -> None:
    local, other = {"Origin": "http://localhost:3000"}, {"Origin": "http://localhost.evil.example"}
    for origin in (local, other):
        assert not [name for name in client.get("/health", headers=origin).headers if name.startswith("access-control")]
    with serving(service(tmp_path, debug="true")) as base:
        allowed = httpx.get(base + "/health", headers=local).headers
        assert allowed["access-control-allow-origin"] == local["Origin"]
        assert "access-control-allow-credentials" not in allowed
        assert "access-control-allow-origin" not in httpx.get(base + "/health", headers=other).headers
        preflight = httpx.options(base + "/v1/models", headers=local)
        assert preflight.status_code == 204
        assert "Authorization" in preflight.headers["access-control-allow-headers"]


@pytest.mark.parametrize("path", ["/v1/broken", "/internal/v1/broken"])
def test_a_fault_tells_the_caller_nothing_and_the_log_everything(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    def broken(_: Request) -> Reply:
        raise RuntimeError("connection to 10.0.0.7 lost")

    assembled = service(tmp_path)
    assembled.fast.add("GET", path, broken)
    with caplog.at_level(logging.ERROR), serving(assembled) as base:
        answer = httpx.get(base + path)
    assert answer.status_code == 500
    assert answer.text in ('{"error":"internal server error"}', "")
    assert ("internal" in path) == (answer.text == ""), "nothing that Authorino could take for a verdict"
    assert "10.0.0.7" in caplog.text
