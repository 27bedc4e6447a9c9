"""Where a request begins and ends can be read in one way only, and what can not is refused with all that follows.

Shapes after RFC 9112 sections 2.2, 5, 6.1, 6.3, 7.1 and 11.2, and the collections of HTTP desync research.
"""

from __future__ import annotations

import pytest

from tests.support.playbook import Playbook
from tests.support.wire import http

SMUGGLED = http("GET /smuggled HTTP/1.1", "Host: x")
GET = http("GET /health HTTP/1.1", "Host: x")
POST = b"POST /v1/api-keys HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
CALLBACK = b"/internal/v1/api-keys/validate"
CHUNKS = b"\r\n2\r\n{}\r\n0\r\n\r\n"
PLAIN = http("POST /internal/v1/api-keys/validate HTTP/1.1", "Host: x", "Content-Length: 2", body=b"{}")
LONG_FRAME = "chunk extensions and trailers must not exceed 1000 bytes"

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
    "chunked not last": POST + b"Transfer-Encoding: chunked, identity\r\n" + CHUNKS,
    "chunked twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n" + CHUNKS,
    "folded header": POST + b"X-A: b\r\n Transfer-Encoding: chunked\r\n" + CHUNKS,
    "line ends without a return": POST.replace(b"\r\n", b"\n") + b"Content-Length: 0\n\n",
    "a return without a line end": POST + b"X-A: b\rTransfer-Encoding: chunked\r\n" + CHUNKS,
    "a zero byte in a value": POST + b"X-A: \x00\r\nContent-Length: 0\r\n\r\n",
    "a zero byte in a name": POST + b"X-\x00A: b\r\nContent-Length: 0\r\n\r\n",
    "a name with a space": POST + b"X A: b\r\nContent-Length: 0\r\n\r\n",
    "no name": POST + b": b\r\nContent-Length: 0\r\n\r\n",
    "the HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "the beginning of TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "an invented method": b"GOT /health HTTP/1.1\r\nHost: x\r\n\r\n",
    "a tunnel": b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a space in the target": b"GET /hea lth HTTP/1.1\r\nHost: x\r\n\r\n",
    "a raw byte in the target": b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
}
BROKEN_BODIES = {
    "unknown coding": POST + b"Transfer-Encoding: xchunked\r\n" + CHUNKS,
    "chunk size beyond 64 bits": CHUNKED + b"FFFFFFFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n",
    "negative chunk size": CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n",
    "chunk longer than said": CHUNKED + b"1\r\n{}\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("target", [b"/v1/api-keys", CALLBACK])
@pytest.mark.parametrize("shape", REFUSED)
def test_an_ambiguous_request_is_refused_and_ends_the_connection(playbook: Playbook, shape: str, target: bytes) -> None:
    """Nobody is asked about it, and nothing behind it is run; also on the callback, which others read."""
    talk = playbook().receives(REFUSED[shape].replace(b"/v1/api-keys", target) + SMUGGLED)
    talk.sends(400, "malformed HTTP request", connection="close").half_closes().receives(SMUGGLED).client_leaves()


@pytest.mark.parametrize("target", [b"/v1/api-keys", CALLBACK])
@pytest.mark.parametrize("shape", BROKEN_BODIES)
def test_a_body_without_a_plain_end_is_refused(playbook: Playbook, shape: str, target: bytes) -> None:
    """The application may have been told of the headers by then; it hears that the rest will not come."""
    talk = playbook().receives(BROKEN_BODIES[shape].replace(b"/v1/api-keys", target) + SMUGGLED)
    talk.sends(400, "malformed HTTP request").half_closes().gives_up(f"POST {target.decode()}").client_leaves()


def test_bytes_that_are_not_http_cost_no_other_connection_anything(playbook: Playbook) -> None:
    other = playbook().receives(GET[:9])
    playbook().receives(b"\x16\x03\x01 nonsense\r\n\r\n").sends(
        400, "malformed HTTP request"
    ).half_closes().client_leaves()
    other.receives(GET[9:]).asks("GET /health").answers(200).sends(200).stays_open()


@pytest.mark.parametrize("line", ["GET /health HTTP/2.0", "GET /health HTTP/0.9", "GET /health"])
def test_another_version_of_http_is_505(playbook: Playbook, line: str) -> None:
    talk = playbook().receives(http(line, "Host: x") if "HTTP" in line else http(line))
    talk.sends(505, "this server speaks HTTP/1.1", connection="close").closes()


def test_http_1_0_is_answered_and_ends(playbook: Playbook) -> None:
    talk = playbook().receives(http("GET /health HTTP/1.0", "Connection: keep-alive")).asks("GET /health")
    talk.answers(200).sends(200, connection="close").closes()


@pytest.mark.parametrize("to", ["h2c", "websocket"])
def test_an_upgrade_nobody_offers_is_ignored_and_its_tail_is_not_run(playbook: Playbook, to: str) -> None:
    offer = http("GET /health HTTP/1.1", "Host: x", "Connection: Upgrade", f"Upgrade: {to}", "Sec-WebSocket-Key: AA==")
    talk = playbook().receives(offer + SMUGGLED).asks("GET /health")
    talk.answers(200).sends(200, upgrade=None).stays_open()


def test_an_absolute_target_does_not_choose_another_host(playbook: Playbook) -> None:
    talk = playbook().receives(http("GET http://internal.example/health HTTP/1.1", "Host: x"))
    talk.asks("GET /health").answers(200).sends(200).stays_open()


def test_chunks_make_one_body_however_they_come(playbook: Playbook) -> None:
    talk = (
        playbook()
        .receives(CHUNKED + b"2\r\n{")
        .receives(b"}\r")
        .receives(b"\n1;ext=1\r\n\n\r\n0\r\n")
        .receives(b"\r\n")
    )
    talk.asks("POST /v1/api-keys", b"{}\n").answers(200).sends(200).stays_open()


@pytest.mark.parametrize("apart", [False, True], ids=["whole", "apart"])
@pytest.mark.parametrize(
    "trailer", [b"X-Forwarded-For: 1.1.1.1", b"X-Maas-Internal-Secret: x", b"X-Envoy-Original-Path: /"]
)
def test_a_trailer_is_no_header(playbook: Playbook, trailer: bytes, apart: bool) -> None:
    """As headers, the first and the last would have the callback refused."""
    head, tail = CHUNKED.replace(b"/v1/api-keys", CALLBACK) + b"2\r\n{}\r\n0\r\n", trailer + b"\r\n\r\n"
    talk = playbook().receives(head).receives(tail) if apart else playbook().receives(head + tail)
    talk.asks(f"POST {CALLBACK.decode()}", b"{}").answers(200).sends(200).stays_open()


def test_a_trailer_does_not_become_the_next_request_s_header(playbook: Playbook) -> None:
    first = CHUNKED.replace(b"/v1/api-keys", CALLBACK) + b"2\r\n{}\r\n0\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n"
    talk = playbook()
    for _ in range(2):
        talk.receives(first).asks(f"POST {CALLBACK.decode()}", b"{}").answers(200).sends(200)
    talk.receives(PLAIN).validates(b"{}").answers(200).sends(200).stays_open()


@pytest.mark.parametrize("frame", [b"1\r\n{\r\n0\r\nX-Long: ", b"1\r\n{\r\n0\r\n" + b"X: a\r\n" * 20, b"1;"])
def test_what_frames_a_body_is_bounded_like_headers(playbook: Playbook, frame: bytes) -> None:
    talk = playbook().receives(CHUNKED).receives(frame).receives(b"a" * 600).receives(b"a" * 500)
    talk.sends(431, LONG_FRAME).half_closes().gives_up("POST /v1/api-keys").receives(b"a" * 5000).client_leaves()
