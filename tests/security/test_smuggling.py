"""Requests that two parsers might read differently are refused, and nothing behind them is run.

Shapes after RFC 9112 sections 2.2, 5, 6.1, 6.3 and 11.2, and the collections of HTTP desync research.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from maas_api.app import build
from maas_api.config import load
from tests.support.raw import exchange
from tests.support.serving import serving


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("smuggling")
    flags = {"sqlite_path": str(folder / "keys.db"), "manifests": str(folder), "kubernetes": "off"}
    with serving(build(load(flags, {}))) as url:
        yield url


SMUGGLED = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
POST = b"POST /v1/api-keys HTTP/1.1\r\nHost: x\r\n"
CHUNKS = b"\r\n2\r\n{}\r\n0\r\n\r\n"

REFUSED = {
    "length and chunked": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n" + CHUNKS,
    "chunked and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n" + CHUNKS,
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}",
    "two equal lengths": POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "lengths in a list": POST + b"Content-Length: 2, 2\r\n\r\n{}",
    "signed length": POST + b"Content-Length: +2\r\n\r\n{}",
    "negative length": POST + b"Content-Length: -2\r\n\r\n{}",
    "hexadecimal length": POST + b"Content-Length: 0x2\r\n\r\n{}",
    "length with a space inside": POST + b"Content-Length: 2 2\r\n\r\n{}",
    "length beyond 64 bits": POST + b"Content-Length: 99999999999999999999999\r\n\r\n{}",
    "space before the colon": POST + b"Transfer-Encoding : chunked\r\n" + CHUNKS,
    "unknown coding": POST + b"Transfer-Encoding: xchunked\r\n" + CHUNKS,
    "chunked not last": POST + b"Transfer-Encoding: chunked, identity\r\n" + CHUNKS,
    "chunked twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n" + CHUNKS,
    "folded header": POST + b"X-A: b\r\n Transfer-Encoding: chunked\r\n" + CHUNKS,
    "line ends without a return": b"POST /v1/api-keys HTTP/1.1\nHost: x\nContent-Length: 0\n\n",
    "a return without a line end": POST + b"X-A: b\rTransfer-Encoding: chunked\r\n" + CHUNKS,
    "a zero byte in a value": POST + b"X-A: \x00\r\nContent-Length: 0\r\n\r\n",
    "a zero byte in a name": POST + b"X-\x00A: b\r\nContent-Length: 0\r\n\r\n",
    "a name with a space": POST + b"X A: b\r\nContent-Length: 0\r\n\r\n",
    "no name": POST + b": b\r\nContent-Length: 0\r\n\r\n",
    "chunk size beyond 64 bits": POST + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n",
    "negative chunk size": POST + b"Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
    "chunk longer than said": POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
    "the HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an invented method": b"GOT /health HTTP/1.1\r\nHost: x\r\n\r\n",
    "a space in the target": b"GET /hea lth HTTP/1.1\r\nHost: x\r\n\r\n",
    "a raw byte in the target": b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("target", [b"/v1/api-keys", b"/internal/v1/api-keys/validate"])
@pytest.mark.parametrize("shape", REFUSED)
def test_an_ambiguous_request_is_refused_and_ends_the_connection(base: str, shape: str, target: bytes) -> None:
    """Also on the callback, which is answered before ASGI sees it."""
    said = exchange(base, REFUSED[shape].replace(b"/v1/api-keys", target) + SMUGGLED)
    assert said.closed
    assert said.statuses == [400], said.data
    assert said.data.endswith(b'{"error":"malformed HTTP request"}')


def test_two_requests_in_one_packet_are_two_requests(base: str) -> None:
    first = SMUGGLED.replace(b"Connection: close\r\n", b"")
    assert exchange(base, first + SMUGGLED).statuses == [200, 200]


@pytest.mark.parametrize("line", [b"GET /health HTTP/2.0", b"GET /health HTTP/0.9", b"GET /health"])
def test_another_version_of_http_is_505(base: str, line: bytes) -> None:
    said = exchange(base, line + b"\r\nConnection: close\r\n\r\n")
    assert said.closed
    assert said.statuses in ([505], [400])


def test_an_upgrade_nobody_offers_is_ignored_and_its_tail_is_not_run(base: str) -> None:
    offer = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    assert exchange(base, offer, seconds=0.5).statuses == [200]
    assert exchange(base, offer + SMUGGLED, seconds=0.5).statuses in ([200], [200, 200], [200, 400])


def test_a_websocket_is_not_opened(base: str) -> None:
    offer = (
        b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    assert 101 not in exchange(base, offer).statuses


def test_an_absolute_target_does_not_choose_another_host(base: str) -> None:
    said = exchange(base, b"GET http://internal.example/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert said.statuses == [200]


def test_methods_that_open_tunnels_or_mirror_are_not_served(base: str) -> None:
    for method in (b"CONNECT x:80", b"TRACE /health"):
        said = exchange(base, method + b" HTTP/1.1\r\nHost: x\r\nX-Mirror: me\r\nConnection: close\r\n\r\n")
        assert said.statuses[0] in (400, 404, 405)
        assert b"me\r\n" not in said.data
