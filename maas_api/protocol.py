"""HTTP/1.1 with bounds: uvicorn's protocol, and what it leaves to the server in front of it.

uvicorn and its parser refuse what is not HTTP. They set no bound to the size of headers, to the time a client takes
to send a request, to the time it takes to read an answer, nor to a connection that never says a word; and over
the limit of connections they answer plain text. One timer per connection that is late, none for one that is not: a
request that arrives whole, as nearly all do, pays two attribute writes.
"""

from __future__ import annotations

import asyncio
import http
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from maas_api.errors import encode
from maas_api.guard import PREFIX
from maas_api.observability import metrics
from maas_api.transport import JoiningTransport

LINGER_SECONDS = 2.0
"""After a refusal the client may still be sending: closing at once would reset the connection before it reads why."""


class Limits(NamedTuple):
    """Seconds, bytes and connections of one worker."""

    header_bytes: int
    header_seconds: float
    request_seconds: float
    write_seconds: float
    idle_seconds: float
    connections: int


class BoundedProtocol(HttpToolsProtocol):
    """One connection. The keyword arguments besides ``limits`` are uvicorn's own."""

    def __init__(self, *, limits: Limits, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._limits = limits
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._in_head = True
        self._incomplete = False
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn declares it
        """Count the connection in. Over the limit it is answered 503; at twice the limit it is dropped."""
        super().connection_made(transport)
        self.transport = cast(asyncio.Transport, JoiningTransport(transport, self.loop))
        count = len(self.connections)
        metrics.connections.set(count)
        if count > self._limits.connections:
            metrics.refusals.labels("connections").inc()
            if count > 2 * self._limits.connections:
                self._refused = True
                transport.abort()
                return
            self.app = _OVERLOADED
        self._timer = self.loop.call_later(self._limits.idle_seconds, self._abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget its timers."""
        super().connection_lost(exc)
        metrics.connections.set(len(self.connections))
        self._unset_keepalive_if_required()
        for timer in (self._timer, self._write_timer):
            if timer is not None:
                timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and watch the clock while a request is incomplete."""
        if self._refused:
            return
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > self._limits.header_bytes:
            self._refuse(431, f"request line and headers must not exceed {self._limits.header_bytes} bytes", "headers")
        elif self._incomplete:
            if self._timer is None:
                self._timer = self.loop.call_later(self._limits.header_seconds, self._late)
        elif self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def on_message_begin(self) -> None:
        """A request's first byte."""
        super().on_message_begin()
        self._in_head = self._incomplete = True
        if self._timer is not None:  # the one that waits for a first byte
            self._timer.cancel()
            self._timer = None

    def on_headers_complete(self) -> None:
        """A request's headers are whole. Counted exactly only where they could be too many."""
        self._in_head = False
        if self._head_bytes > self._limits.header_bytes and self._head_size() > self._limits.header_bytes:
            metrics.refusals.labels("headers").inc()
            self.app = _answer(431, f"request line and headers must not exceed {self._limits.header_bytes} bytes")
        elif self.parser.get_http_version() not in ("1.1", "1.0"):  # the parser knows 0.9 and 2.0 as well
            metrics.refusals.labels("malformed").inc()
            self.app = _UNSPOKEN
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """A request is whole; the next one's headers start behind it."""
        super().on_message_complete()
        self._in_head, self._incomplete, self._head_bytes = True, False, 0

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _late(self) -> None:
        """The first deadline has passed with the request incomplete. The body gets the rest of its own."""
        limits, self._timer = self._limits, None
        if self._in_head:
            self._refuse(408, f"request headers took longer than {limits.header_seconds:g} s", "slow")
            return
        rest = max(0.0, limits.request_seconds - limits.header_seconds)
        self._timer = self.loop.call_later(rest, self._late_body)

    def _late_body(self) -> None:
        self._timer = None
        self._refuse(408, f"the request took longer than {self._limits.request_seconds:g} s", "slow")

    def send_400_response(self, msg: str) -> None:
        """What the parser refuses."""
        self._refuse(400, "malformed HTTP request", "malformed")

    def _refuse(self, status: int, message: str, reason: str) -> None:
        """Answer without the application and close. Where an earlier answer is still due, only close: written in
        between, this one would pass for it."""
        metrics.refusals.labels(reason).inc()
        self._refused = True
        if self.transport.is_closing():
            return
        waiting = self.cycle is not None and not self.cycle.response_complete
        if waiting and (self.cycle.response_started or self.pipeline or self._in_head):
            self.transport.abort()
            return
        if waiting:  # the request being read: its application must not answer as well
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        body = encode({"error": message})
        head = f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}\r\n".encode()
        lines = [b"%s: %s\r\n" % line for line in self.server_state.default_headers]
        lines.append(b"content-type: application/json; charset=utf-8\r\nx-content-type-options: nosniff\r\n")
        lines.append(b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body))
        self.transport.write(b"".join((head, *lines, body)))
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self._timer = self.loop.call_later(LINGER_SECONDS, self._abort)
        else:
            self.transport.close()

    def pause_writing(self) -> None:
        """The client does not read: wait, not for ever."""
        super().pause_writing()
        self._write_timer = self.loop.call_later(self._limits.write_seconds, self._abort)

    def resume_writing(self) -> None:
        """It reads again."""
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def timeout_keep_alive_handler(self) -> None:
        """An idle connection ends; one that will not take its last answer is cut off."""
        super().timeout_keep_alive_handler()
        self._write_timer = self.loop.call_later(self._limits.write_seconds, self._abort)

    def _abort(self) -> None:
        self.transport.abort()


Application = Callable[[MutableMapping[str, Any], Any, Callable[[dict[str, Any]], Awaitable[None]]], Awaitable[None]]


def _answer(status: int, message: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Application:
    """An application that gives one answer and closes. Under ``/internal`` a 503 has no body: it must not be cached."""

    async def answer(
        scope: MutableMapping[str, Any], _receive: Any, send: Callable[[dict[str, Any]], Awaitable[None]]
    ) -> None:
        body = b"" if scope["path"].startswith(PREFIX) else encode({"error": message})
        lines = [
            (b"content-type", b"application/json; charset=utf-8"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
            *headers,
        ]
        await send({"type": "http.response.start", "status": status, "headers": lines})
        await send({"type": "http.response.body", "body": body})

    return answer


_UNSPOKEN = _answer(505, "this server speaks HTTP/1.1")
_OVERLOADED = _answer(503, "too many connections, try again", ((b"retry-after", b"1"),))
