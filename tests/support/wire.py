"""A connection in memory: the server's end of it as asyncio has it, and the client's as a test plays it."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

_STATUS_LINE = re.compile(rb"HTTP/1\.1 (\d{3}) [A-Z][A-Za-z -]+")


def http(*lines: str, body: bytes = b"") -> bytes:
    """A request's lines, and its body."""
    return "\r\n".join((*lines, "", "")).encode() + body


class Answer(NamedTuple):
    """One whole answer. Names of headers in lower case; one that came twice is joined with `` + ``."""

    status: int
    headers: dict[str, str]
    body: bytes


def split_answer(data: bytes) -> tuple[Answer, bytes]:
    """The first answer in ``data``, and what follows it. Raises AssertionError where that is no whole answer."""
    head, blank, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    found = _STATUS_LINE.fullmatch(first)
    assert blank, f"an answer without an end to its headers: {data!r}"
    assert found, f"no answer of HTTP/1.1: {data!r}"
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.decode("latin-1").partition(":")
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]} + {value}" if name in headers else value
    length = int(headers.get("content-length", "0"))
    assert len(rest) >= length, f"an answer cut short: {data!r}"
    return Answer(int(found[1]), headers, rest[:length]), rest[length:]


class Wire(asyncio.Transport):
    """The transport of one connection. It refuses what no client could do to it, and what no server may.

    ``wrote`` gets what the server writes, ``happens`` the name of what else it does.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        wrote: Callable[[bytes], None],
        happens: Callable[[str], None],
        *,
        port: int,
        tls: bool,
    ) -> None:
        super().__init__({"peername": ("192.0.2.1", port), "sslcontext": tls or None})
        self._loop, self._wrote, self._happens, self._tls = loop, wrote, happens, tls
        self._protocol: Any = None
        self._waiting: deque[bytes] = deque()
        self._paused = self._blocked = self._ended = self._closing = self._lost = False

    @property
    def reader(self) -> Any:
        """Whose turn it is to read the connection."""
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Another reads the connection from now on."""
        self._protocol = protocol

    def connect(self, protocol: asyncio.Protocol) -> None:
        """The server has accepted the connection."""
        self._protocol = protocol
        self._protocol.connection_made(self)

    # The client's end.

    def feed(self, data: bytes) -> None:
        """Bytes arrive."""
        assert not self._closing, "impossible: the server has closed the connection"
        if self._paused:
            self._waiting.append(data)
        else:
            self._protocol.data_received(data)

    def block(self) -> None:
        """The client does not read, and the server's buffer is full."""
        self._blocked = True
        self._protocol.pause_writing()

    def unblock(self) -> None:
        """It has read everything."""
        self._blocked = False
        self._protocol.resume_writing()
        if self._closing:
            self._lose(None)

    def eof(self) -> None:
        """The client has closed its side; as asyncio has it, the connection ends if the protocol does not object."""
        if self._closing or not self._protocol.eof_received():
            self._closing = True
            self._lose(None)

    def reset(self) -> None:
        """The connection is gone."""
        self._closing = True
        self._lose(ConnectionResetError())

    def _lose(self, fault: Exception | None) -> None:
        if not self._lost:
            self._lost = True
            self._loop.call_soon(self._protocol.connection_lost, fault)

    # The server's end.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Bytes for the client. None may follow the end of writing, nor its loss; after closing they go nowhere."""
        assert not self._lost, f"written to a connection that is lost: {bytes(data)!r}"
        assert not self._ended, f"written after the end: {bytes(data)!r}"
        if not self._closing:
            self._wrote(bytes(data))

    def can_write_eof(self) -> bool:
        """TLS has no half of a connection."""
        return not self._tls

    def write_eof(self) -> None:
        """No more will be written."""
        assert not self._tls, "TLS cannot close one side"
        self._ended = True
        self._happens("half-closes")

    def is_closing(self) -> bool:
        """Whether the connection ends."""
        return self._closing

    def close(self) -> None:
        """End once the client has read everything; over TLS, once it has said so."""
        if not self._closing:
            self._closing = True
            self._happens("closes")
            if not self._blocked and not self._tls:
                self._lose(None)

    def abort(self) -> None:
        """End now."""
        if not self._lost:
            self._closing = True
            self._happens("aborts")
            self._lose(None)

    def pause_reading(self) -> None:
        """Leave what comes with the client."""
        self._paused = True

    def resume_reading(self) -> None:
        """Take it again, what has come meanwhile first."""
        self._paused = False
        self._loop.call_soon(self._take)

    def _take(self) -> None:
        while self._waiting and not self._paused and not self._closing:
            self._protocol.data_received(self._waiting.popleft())
