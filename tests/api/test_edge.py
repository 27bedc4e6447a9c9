"""The edge over a real socket: what is answered where no endpoint is, and what never reaches one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from maas_api.app import build
from maas_api.config import ConfigError, load
from tests.support.raw import exchange
from tests.support.serving import serving


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("edge")
    secret = folder / "secret"
    secret.write_text("opens-the-internal-door\n")
    flags = {
        "sqlite_path": str(folder / "keys.db"),
        "manifests": str(folder),
        "kubernetes": "off",
        "internal_secret_file": str(secret),
        "max_body_bytes": "4096",
    }
    with serving(build(load(flags, {}))) as url:
        yield url


@pytest.fixture
def client(base: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=base) as session:
        yield session


def test_health_is_what_the_probes_of_the_go_service_expect(client: httpx.Client) -> None:
    answer = client.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "healthy"})


def test_an_unknown_path_is_404_in_json(client: httpx.Client) -> None:
    answer = client.get("/no/such/path")
    assert (answer.status_code, answer.json()) == (404, {"error": "404 page not found"})
    assert answer.headers["content-type"].startswith("application/json")


@pytest.mark.parametrize("method", ["POST", "HEAD", "PUT"])
def test_a_wrong_method_is_405_and_names_the_right_one(client: httpx.Client, method: str) -> None:
    answer = client.request(method, "/health")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    if method != "HEAD":
        assert "use GET" in answer.json()["error"]


def test_methods_that_open_tunnels_or_mirror_are_not_served(base: str) -> None:
    for method, status in ((b"CONNECT x:80", 400), (b"TRACE /health", 405)):
        said = exchange(base, method + b" HTTP/1.1\r\nHost: x\r\nX-Mirror: me\r\nConnection: close\r\n\r\n")
        assert said.statuses == [status]
        assert b"me\r\n" not in said.data


def test_options_is_204_anywhere(client: httpx.Client) -> None:
    for path in ("/whatever", "/health", "/v1/models/some-model"):
        answer = client.options(path)
        assert (answer.status_code, answer.content) == (204, b"")
        assert "content-type" not in answer.headers


@pytest.mark.parametrize("path", ["//health", "//v1/models", "//v1/api-keys/config", "//internal/v1/api-keys/cleanup"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_second_slash_leads_nowhere(client: httpx.Client, method: str, path: str) -> None:
    """Whoever guards paths in front of this service must be able to rely on what they begin with."""
    headers = {"X-MaaS-Internal-Secret": "opens-the-internal-door", "X-MaaS-Username": "a", "X-MaaS-Group": '["g"]'}
    request = client.build_request(method, client.base_url.copy_with(raw_path=path.encode()), headers=headers)
    answer = client.send(request)
    assert (answer.status_code, answer.json()) == (404, {"error": "404 page not found"})


def test_a_trailing_slash_redirects(client: httpx.Client) -> None:
    answer = client.get("/health/?a=b")
    assert (answer.status_code, answer.headers["location"]) == (301, "/health?a=b")


@pytest.mark.parametrize("declared", [True, False], ids=["content-length", "chunked"])
def test_an_oversized_body_is_413_naming_the_limit(client: httpx.Client, declared: bool) -> None:
    body = b"x" * 5000
    answer = client.post("/v1/api-keys", content=body if declared else iter([body]))
    assert (answer.status_code, answer.json()) == (413, {"error": "request body must not exceed 4096 bytes"})


def test_internal_needs_the_shared_secret_and_says_nothing_that_could_be_cached(client: httpx.Client) -> None:
    answer = client.post("/internal/v1/nothing")
    assert (answer.status_code, answer.content) == (401, b"")
    opened = client.post("/internal/v1/nothing", headers={"X-MaaS-Internal-Secret": "opens-the-internal-door"})
    assert opened.status_code == 404


@pytest.mark.parametrize("header", ["x-envoy-original-path", "X-Forwarded-For"])
def test_internal_does_not_exist_for_a_request_that_came_through_a_gateway(client: httpx.Client, header: str) -> None:
    """The callback itself is answered before the application: tests/unit/edge/test_protocol_validations.py."""
    secret = {"X-MaaS-Internal-Secret": "opens-the-internal-door"}
    assert client.get("/internal/v1/authz/v1/models", headers=secret).status_code == 401, "there is something"
    answer = client.get("/internal/v1/authz/v1/models", headers={header: "1", **secret})
    assert (answer.status_code, answer.json()) == (404, {"error": "404 page not found"})


def test_bytes_that_are_not_http_do_not_take_the_server_down(base: str, client: httpx.Client) -> None:
    said = exchange(base, b"\x16\x03\x01 nonsense\r\n\r\n")
    assert (said.statuses, said.closed) == ([400], True)
    assert client.get("/health").status_code == 200


def test_an_empty_secret_file_is_refused_at_start(tmp_path: Path) -> None:
    """It would turn the protection off that it is there for."""
    empty = tmp_path / "secret"
    empty.write_text(" \n")
    flags = {"sqlite_path": str(tmp_path / "keys.db"), "kubernetes": "off", "internal_secret_file": str(empty)}
    with pytest.raises(ConfigError, match="is empty"):
        build(load(flags, {}))
