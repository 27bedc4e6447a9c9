"""What is taken for one whole question is one for every other reader of HTTP, and all else is left to them."""

from __future__ import annotations

from typing import Any

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from maas_api.edge.connections.limits import HEADERS_AT_MOST, KEPT_BYTES
from maas_api.edge.connections.questions import Question, Questions
from tests.support.wire import http

HEADER_BYTES = 8000
LINE = "POST /internal/v1/api-keys/validate HTTP/1.1"
TARGET = b"/internal/v1/api-keys/validate"
WHOLE = http(LINE, "Host: x", "Content-Length: 2", body=b"{}")


def read(data: bytes) -> Question | None:
    return Questions(HEADER_BYTES).read(data)


def test_a_question_is_read_as_it_was_sent() -> None:
    asked = read(http(LINE, "Host: x", "X-Twice: 1", "x-twice: 2", "CONTENT-LENGTH: 2", body=b"{}"))
    headers = [(b"host", b"x"), (b"x-twice", b"1"), (b"x-twice", b"2"), (b"content-length", b"2")]
    assert asked == Question("POST", TARGET, headers, b"{}", True)


def test_a_question_may_have_no_body() -> None:
    target = "/internal/v1/authz/v1/models?limit=1"
    asked = read(http(f"GET {target} HTTP/1.1", "Host: x"))
    assert asked == Question("GET", target.encode(), [(b"host", b"x")], b"", True)


@pytest.mark.parametrize("value", ["close", "Close", "keep-alive, close"])
def test_a_last_question_says_so(value: str) -> None:
    asked = read(http(LINE, f"Connection: {value}", "Content-Length: 2", body=b"{}"))
    assert asked is not None
    assert not asked.keep_alive


def test_the_longest_head_and_the_longest_body_are_taken() -> None:
    body = b"a" * KEPT_BYTES
    bare = http(LINE, "X-Long: ", f"Content-Length: {KEPT_BYTES}")
    lines = ("X-Long: " + "a" * (HEADER_BYTES - len(bare)), f"Content-Length: {KEPT_BYTES}")
    asked = read(http(LINE, *lines, body=body))
    assert asked is not None
    assert asked.body == body
    assert read(http(LINE, lines[0] + "a", lines[1], body=body)) is None


LEFT = {
    "another path": http("POST /v1/api-keys HTTP/1.1", "Content-Length: 0"),
    "another method": http("PUT /internal/v1/api-keys/validate HTTP/1.1", "Content-Length: 0"),
    "HTTP/1.0": WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "HTTP/2.0": WHOLE.replace(b"HTTP/1.1", b"HTTP/2.0"),
    "no version": http("GET /internal/v1/authz"),
    "two spaces before the version": WHOLE.replace(b" HTTP", b"  HTTP"),
    "bare line ends": WHOLE.replace(b"\r\n", b"\n"),
    "two": WHOLE * 2,
    "one and the beginning of another": WHOLE + b"P",
    "one and what is no request": WHOLE + b"\x00",
    "a body longer than said": WHOLE + b"{",
    "chunked": http(LINE, "Transfer-Encoding: chunked", body=b"2\r\n{}\r\n0\r\n\r\n"),
    "waits for leave": http(LINE, "Expect: 100-continue", "Content-Length: 2", body=b"{}"),
    "an upgrade": http(LINE, "Connection: upgrade", "Upgrade: h2c", "Content-Length: 2", body=b"{}"),
    "two lengths": http(LINE, "Content-Length: 2", "Content-Length: 2", body=b"{}"),
    "a body too long": http(LINE, f"Content-Length: {KEPT_BYTES + 1}", body=b"a" * (KEPT_BYTES + 1)),
    "too many headers": http(LINE, *["a:"] * (HEADERS_AT_MOST - 1), "Content-Length: 2", body=b"{}"),
    "a folded header": http(LINE, "X-A: b\r\n c", "Content-Length: 2", body=b"{}"),
}


@pytest.mark.parametrize("shape", LEFT)
def test_what_has_anything_unusual_about_it_is_left(shape: str) -> None:
    assert read(LEFT[shape]) is None


@pytest.mark.parametrize("length", range(len(WHOLE)))
def test_a_question_that_is_not_whole_is_left(length: int) -> None:
    assert read(WHOLE[:length]) is None


@pytest.mark.parametrize("shape", LEFT)
def test_nothing_that_was_read_before_is_in_a_question(shape: str) -> None:
    """One reader is there for all clients: what one sends must not be in another's."""
    reader = Questions(HEADER_BYTES)
    for before in (LEFT[shape], LEFT[shape][:-3], WHOLE.replace(b"Host: x", b"Connection: close")):
        reader.read(before)
        assert reader.read(WHOLE) == read(WHOLE)


class Elsewhere:
    """The same bytes one by one, as a reader has them that knows nothing of questions."""

    def __init__(self, data: bytes) -> None:
        self.url = self.body = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.begun = self.complete = 0
        parser: Any = httptools.HttpRequestParser(self)
        for byte in data:
            parser.feed_data(bytes((byte,)))
        self.method, self.version = parser.get_method(), parser.get_http_version()

    def on_message_begin(self) -> None:
        self.begun += 1

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete += 1


PIECES = st.sampled_from(
    [
        *(b"POST ", b"GET ", b"/internal/", b"v1/authz", b"?a=b", b"%2e", b" HTTP/1.1", b" HTTP/1.0", b"\r\n", b"\n"),
        *(b"\r\n\r\n", b"Host: x", b"Content-Length: 2", b"Content-Length: 0", b"Transfer-Encoding: chunked", b": "),
        *(b"Connection: close", b"{}", b"2\r\n{}\r\n0\r\n\r\n", b" ", b"\t", b"\x00", b"\xff", b"#", b"X-A: b", WHOLE),
    ]
)


@given(st.lists(PIECES, max_size=12).map(b"".join), st.integers(0, len(WHOLE)))
@example(b"\r\n", len(WHOLE))
@example(b"X-A: b\r\n", WHOLE.index(b"Host"))
def test_whatever_is_taken_is_one_request_to_whoever_reads_it_otherwise(pieces: bytes, place: int) -> None:
    for data in (b"POST /internal/" + pieces, WHOLE[:place] + pieces + WHOLE[place:]):
        asked = read(data)
        if asked is not None:
            other = Elsewhere(data)
            assert (other.begun, other.complete, other.version) == (1, 1, "1.1")
            assert (other.method.decode(), other.url, other.headers, other.body) == asked[:4]
