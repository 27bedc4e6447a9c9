"""What a chunk of bytes asks, where it is one question of the gateway, whole, and nothing else.

A parser of its own for each chunk: nothing that one client sends is there when another's is read.
"""

from __future__ import annotations

from typing import NamedTuple

import httptools

from maas_api.edge.connections.limits import HEADERS_AT_MOST, KEPT_BYTES
from maas_api.wire import RawHeaders

_POST, _GET = b"POST /internal/", b"GET /internal/"
# Other methods are rare, and HEAD is answered without the body that the rest has.
_VERSION = b" HTTP/1.1\r\n"
_FEW_BYTES = 4 * HEADERS_AT_MOST
"""So many hold no more headers than there may be: the shortest line takes four."""
_BLANK = b"\r\n\r\n"
_UNUSUAL = frozenset((b"transfer-encoding", b"expect", b"upgrade"))


class Question(NamedTuple):
    """A request, as its bytes say it. ``keep_alive``: whether the client has more to ask on this connection."""

    method: str
    target: bytes
    headers: RawHeaders
    body: bytes
    keep_alive: bool


class Questions:
    """Reads them for all connections of a worker. The other methods are the parser's callbacks."""

    def __init__(self, header_bytes: int) -> None:
        """``header_bytes``: a longer head is another's to refuse."""
        self._header_bytes = header_bytes
        self._headers: list[tuple[bytes, bytes]] = []

    def read(self, data: bytes) -> Question | None:
        """The question; None where it is not whole, is none, or has anything unusual about it."""
        if data.startswith(_POST):
            method = "POST"
        elif data.startswith(_GET):
            method = "GET"
        else:
            return None
        size = len(data)
        if size > _FEW_BYTES and (size > self._header_bytes + KEPT_BYTES or data.count(b"\n") > HEADERS_AT_MOST):
            return None
        self._url = self._body = b""
        headers: list[tuple[bytes, bytes]] = []
        self._headers = headers
        self._whole = False
        self._parser = httptools.HttpRequestParser(self)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return None
        finally:
            self._headers = []
        body = self._body
        head_bytes = data.find(_BLANK) + len(_BLANK)
        if (
            not self._whole
            or head_bytes + len(body) != size  # else something follows it
            or head_bytes > self._header_bytes
            or len(body) > KEPT_BYTES
            or not data.startswith(_VERSION, len(method) + 1 + len(self._url))
            or not _UNUSUAL.isdisjoint(dict(headers))
        ):
            return None
        return Question(method, self._url, headers, body, self._keep_alive)

    def on_url(self, url: bytes) -> None:
        """Its target. In one piece, as all that comes in one chunk; where there are two requests, the second's."""
        self._url = url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header line."""
        self._headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        """Its body."""
        self._body = body

    def on_message_complete(self) -> None:
        """It is whole. The parser forgets behind this whether the client wants another."""
        self._whole = True
        self._keep_alive = self._parser.should_keep_alive()
