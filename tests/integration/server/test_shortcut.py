"""The gateway's short way around ASGI: the same answers, whatever the request looks like on the wire."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from urllib.parse import urlsplit

import httpx
import pytest

from maas_api.app import build
from maas_api.config import load
from maas_api.observability import metrics
from tests.support.serving import serving
from tests.support.wait import until

PATH = "/internal/v1/api-keys/validate"
ALICE = {"X-MaaS-Username": "alice", "X-MaaS-Group": '["ml"]'}

REGISTRY = """
apiVersion: v1
kind: ConfigMap
metadata: {name: external-model-registry, namespace: maas-api}
data:
  models: |
    - {id: gpt-4o-mini, provider: openai}
"""
AUTHORIZER = "/internal/v1/authz"
MODEL = "X-Gateway-Model-Name: gpt-4o-mini"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("shortcut")
    (folder / "registry.yaml").write_text(REGISTRY)
    flags = {
        "sqlite_path": str(folder / "keys.db"),
        "manifests": str(folder),
        "kubernetes": "off",
        "default_subscription": "default",
        "validation_deadline_ms": "5000",
        "max_body_bytes": "20000",
    }
    with serving(build(load(flags, {}))) as url:
        yield url


@pytest.fixture(scope="module")
def key(base: str) -> str:
    key: str = httpx.post(f"{base}/v1/api-keys", json={"name": "a"}, headers=ALICE).json()["key"]
    return key


@contextmanager
def connection(base: str) -> Iterator[socket.socket]:
    address = urlsplit(base)
    with socket.create_connection((address.hostname, address.port), timeout=10) as opened:
        yield opened


def call(body: str, *headers: str, method: str = "POST", target: str = PATH, version: str = "1.1") -> bytes:
    lines = [f"{method} {target} HTTP/{version}", "Host: x", *headers, f"Content-Length: {len(body.encode())}"]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def answer(opened: socket.socket) -> tuple[int, dict[str, str], bytes]:
    response = HTTPResponse(opened, method="POST")
    response.begin()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()


def asked(key: str) -> str:
    return json.dumps({"key": key})


def verdict(opened: socket.socket) -> bool:
    status, _headers, body = answer(opened)
    assert status == 200
    valid: bool = json.loads(body)["valid"]
    return valid


def test_an_answer_carries_what_every_answer_carries(base: str, key: str) -> None:
    with connection(base) as opened:
        opened.sendall(call(asked(key), "X-Request-ID: abc-1"))
        status, headers, body = answer(opened)
    assert (status, json.loads(body)["valid"]) == (200, True)
    assert headers["x-request-id"] == "abc-1"
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-length"] == str(len(body))
    assert "date" in headers


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (call('{"key":"sk-oai-a_b"}'), 200),
        (call("{}"), 400),
        (call(""), 400),
        (call('{"key":"x"}', "X-Forwarded-For: 1.2.3.4"), 404),
        (call('{"key":"' + "x" * 5000 + '"}'), 200),
        (call('{"key":"' + "x" * 30000 + '"}'), 400),
        (call('{"key":"x"}', target=PATH + "?a=b"), 200),
        (call("", method="GET"), 405),
        (call('{"key":"x"}', version="1.0"), 200),
    ],
    ids=["unknown", "no key", "no body", "forwarded", "long key", "too long", "query", "wrong method", "HTTP/1.0"],
)
def test_every_kind_of_request_gets_its_answer(base: str, request_: bytes, status: int) -> None:
    with connection(base) as opened:
        opened.sendall(request_)
        assert answer(opened)[0] == status


def test_a_request_that_arrives_byte_by_byte_is_answered_once_it_is_whole(base: str, key: str) -> None:
    with connection(base) as opened:
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in call(asked(key)):
            opened.sendall(bytes((byte,)))
        assert verdict(opened) is True


def test_a_chunked_body_is_read_as_one(base: str, key: str) -> None:
    body = asked(key)
    first, rest = body[:10], body[10:]
    chunks = "".join(f"{len(part):x}\r\n{part}\r\n" for part in (first, rest)) + "0\r\n\r\n"
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with connection(base) as opened:
        opened.sendall((head + chunks).encode())
        assert verdict(opened) is True


def test_a_client_that_waits_for_100_continue_is_told_to_go_on(base: str, key: str) -> None:
    body = asked(key)
    with connection(base) as opened:
        head, _, _ = call(body, "Expect: 100-continue").partition(b"\r\n\r\n")
        opened.sendall(head + b"\r\n\r\n")
        assert opened.recv(100).startswith(b"HTTP/1.1 100")
        opened.sendall(body.encode())
        assert verdict(opened) is True


def test_requests_sent_without_waiting_are_answered_in_their_order(base: str, key: str) -> None:
    fresh = [httpx.post(f"{base}/v1/api-keys", json={"name": "b"}, headers=ALICE).json()["key"] for _ in range(3)]
    mixed = [
        asked(key),
        asked(fresh[0]),
        asked("sk-oai-a_b"),
        asked(fresh[1]),
        asked(key),
        asked("junk"),
        asked(fresh[2]),
    ]
    with connection(base) as opened:
        opened.sendall(b"".join(call(body) for body in mixed) + call("", method="GET", target="/health"))
        stream = opened.makefile("rb")
        seen = []
        for _ in range(len(mixed) + 1):
            assert stream.readline().split()[1] == b"200"
            length = 0
            for line in iter(stream.readline, b"\r\n"):
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            seen.append(json.loads(stream.read(length)))
    assert [item.get("valid") for item in seen] == [True, True, False, True, True, False, True, None]
    assert seen[-1] == {"status": "healthy"}


def test_a_client_may_end_the_connection_with_its_request(base: str, key: str) -> None:
    with connection(base) as opened:
        opened.sendall(call(asked(key), "Connection: close"))
        _status, headers, _body = answer(opened)
        assert headers["connection"] == "close"
        assert opened.recv(1) == b""


def test_a_client_that_leaves_before_its_answer_costs_nobody_else_theirs(base: str, key: str) -> None:
    fresh: str = httpx.post(f"{base}/v1/api-keys", json={"name": "c"}, headers=ALICE).json()["key"]
    for _ in range(20):
        with connection(base) as opened:
            opened.sendall(call(asked(fresh)))
    with connection(base) as opened:
        opened.sendall(call(asked(key)))
        assert verdict(opened) is True
    until(lambda: metrics.http_in_flight.labels("POST").value == 0, what="nothing is in flight any more")


@pytest.mark.parametrize(
    ("method", "target", "headers", "status"),
    [
        ("POST", "/v1/chat/completions", (MODEL,), 200),
        ("POST", "/external/openai/v1/chat/completions", (MODEL,), 200),
        ("POST", "/external/openai/v1/chat/completions?api_version=1", (MODEL, "X-MaaS_Username: root"), 200),
        ("GET", "/v1/models?limit=1", (), 200),
        ("POST", "/v1/chat/completions", ("X-Gateway-Model-Name: gpt-5",), 404),
        ("POST", "/v1/chat/completions", (), 400),
        ("GET", "/v1/chat/completions", (MODEL,), 405),
        ("POST", "/v1/nothing", (MODEL,), 404),
        ("POST", "/external/openai/v1/files", (MODEL,), 403),
        ("POST", "/v1/chat/completions?key=sk-oai-x", (MODEL,), 400),
        ("POST", "/v1/chat/completions", (MODEL, "X-Forwarded-For: 1.2.3.4"), 404),
    ],
)
@pytest.mark.parametrize("with_key", [True, False], ids=["key", "no key"])
def test_a_question_is_answered_alike_on_both_ways(
    base: str, key: str, method: str, target: str, headers: tuple[str, ...], status: int, with_key: bool
) -> None:
    sent = (*headers, "X-Request-ID: same", *((f"Authorization: Bearer {key}",) if with_key else ()))
    short = call("", *sent, method=method, target=AUTHORIZER + target)
    way_round = b"\r\n" + short  # as unusual as it may be
    answers = []
    for request in (short, way_round):
        with connection(base) as opened:
            opened.sendall(request)
            answers.append(answer(opened))
    for _, said, _ in answers:
        del said["date"]
    assert answers[0] == answers[1]
    assert answers[0][0] == (status if with_key else answers[1][0])
