"""What a connection does outside one plain request costs nobody else anything: trailers, pipelines, silence, crowds.

Here with the whole service behind a real connection; line by line it is told in tests/unit/edge.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count

import httpx
import pytest

from maas_api.app import build
from maas_api.config import load
from maas_api.edge.connections.limits import WAITING_AT_MOST
from maas_api.observability import metrics
from maas_api.wire import JSON, Pending, Promise, Reply, Request
from tests.support.raw import connect, exchange, hear
from tests.support.serving import serving
from tests.support.wait import until

MAX_HEADERS = 8192
CONNECTIONS = 6
CHUNKED = b"POST /v1/api-keys HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
VALIDATE = b"POST /internal/v1/api-keys/validate HTTP/1.1\r\nHost: x\r\n"
IDENTITY = b'X-MaaS-Username: mallory\r\nX-MaaS-Group: ["admins"]\r\n'
HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
_OK = Reply(200, (JSON,), b"{}")
_calls = count()
_stuck: list[Promise] = []


def _counted(_request: Request) -> Reply:
    next(_calls)
    return _OK


def _waits(_request: Request) -> Pending:
    _stuck.append(Promise())
    return Pending(_stuck[-1], 60, _OK)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("hostile")
    flags = {
        "sqlite_path": str(folder / "keys.db"),
        "manifests": str(folder),
        "kubernetes": "off",
        "default_subscription": "default",
        "max_header_bytes": str(MAX_HEADERS),
        "max_connections": str(CONNECTIONS),
    }
    service = build(load(flags, {}))
    service.fast.add("GET", "/numbered", _counted)
    service.fast.add("GET", "/stuck", _waits)
    with serving(service) as url:
        yield url


# Trailers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", ["whole", "apart"])
def test_a_trailer_is_no_header(base: str, pieces: str) -> None:
    body = b'c\r\n{"name":"x"}\r\n'
    parts = [CHUNKED + b"Connection: close\r\n\r\n" + body + b"0\r\n", IDENTITY + b"\r\n"]
    with connect(base) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in [b"".join(parts)] if pieces == "whole" else parts:
            sock.sendall(part)
        said = hear(sock)
    assert said.statuses == [401]
    assert b'"refId":"001"' in said.data


def test_a_trailer_does_not_make_a_validation_one_of_the_gateway_s(base: str) -> None:
    head = VALIDATE + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    said = exchange(base, head + b'b\r\n{"key":"x"}\r\n0\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n')
    assert said.statuses == [200]


@pytest.mark.parametrize("piece", [b"X-Long: " + b"a" * 1000, b"X-Short: a\r\n" * 80], ids=["one", "many"])
@pytest.mark.parametrize("where", ["trailer", "extension"])
def test_what_frames_a_body_is_bounded_like_headers(base: str, piece: bytes, where: str) -> None:
    head = CHUNKED + b"\r\n" + (b"1\r\n{\r\n0\r\n" if where == "trailer" else b"1;")
    if where == "extension":
        piece = piece.translate(None, b":\r\n ")
    sent = 0
    with connect(base) as sock:
        sock.sendall(head)
        with contextlib.suppress(OSError):
            while sent < 300 * MAX_HEADERS:
                sent += sock.send(piece)
        said = hear(sock)
    assert said.statuses == [431]
    in_bytes, in_number = f"must not exceed {MAX_HEADERS} bytes".encode(), b"must not have more than 200 trailers"
    assert in_bytes in said.data or in_number in said.data


# Pipelines --------------------------------------------------------------------------------------------------------


def test_what_waits_behind_an_answer_is_bounded(base: str) -> None:
    before = next(_calls)
    request = b"GET /numbered HTTP/1.1\r\nHost: x\r\n\r\n"
    said = exchange(base, request * 3000)
    assert said.closed
    assert said.statuses == [200] * (WAITING_AT_MOST + 1)
    assert next(_calls) - before - 1 == WAITING_AT_MOST + 1, "as many requests are answered as are carried out"


def test_an_announced_body_that_is_too_long_is_answered_before_it_is_sent(base: str) -> None:
    with connect(base) as sock:
        sock.sendall(VALIDATE + b"Content-Length: 100000000\r\n\r\n")
        said = hear(sock)
    assert said.statuses == [400]
    assert json.loads(said.data.rpartition(b"\r\n\r\n")[2]) == {"error": "key is required"}


# Crowds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "says",
    [b"", b"GET /health HT", HEALTH, b"POST /v1/api-keys HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"],
    ids=["silent", "half a head", "idle", "half a body"],
)
def test_connections_that_ask_for_nothing_give_way_to_those_that_do(base: str, says: bytes) -> None:
    before = metrics.refusals.labels("given_way").value
    with ExitStack() as held:
        for _ in range(3 * CONNECTIONS):
            sock = held.enter_context(connect(base))
            sock.sendall(says)
            if says == HEALTH:
                assert sock.recv(1024).startswith(b"HTTP/1.1 200")
        for path in ("/health", "/readyz", "/v1/models"):
            answer = httpx.get(base + path, headers={"Authorization": "Bearer opaque"})
            assert answer.status_code != 503
    assert metrics.refusals.labels("given_way").value > before


def test_with_every_connection_at_work_probes_and_the_callback_are_still_served(base: str) -> None:
    plain = b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n"
    with ExitStack() as held:
        held.callback(lambda: [promise.settle(_OK) for promise in _stuck])
        for _ in range(CONNECTIONS):
            held.enter_context(connect(base)).sendall(b"GET /stuck HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: exchange(base, plain).statuses == [503], what="every slot is taken")
        assert b"retry-after: 1" in exchange(base, plain).data
        assert exchange(base, LAST).statuses == [200]
        callback = VALIDATE + b'Connection: close\r\nContent-Length: 11\r\n\r\n{"key":"x"}'
        assert exchange(base, callback).statuses == [200]
