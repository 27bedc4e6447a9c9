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

from maas_api.edge.guard import PREFIX
from maas_api.edge.shortcut import Call, Shortcut
from maas_api.edge.transport import JoiningTransport
from maas_api.errors import encode
from maas_api.observability import metrics
from maas_api.wire import Reply

KEPT_BYTES = 4096
"""Longest body of a validation answered by the shortcut; a key takes less than a hundred."""

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


class _NoEvent:
    """An event nobody waits for."""

    def set(self) -> None:
        """Nothing to wake."""


_NO_EVENT = _NoEvent()


class _Waiting:
    """Stands where uvicorn keeps a request's cycle while a shortcut's answer is looked up: what comes behind it on
    the same connection queues, and a shutdown or a lost connection is noted."""

    def __init__(self, *, keep_alive: bool) -> None:
        self.keep_alive = keep_alive
        self.response_started = False
        self.response_complete = False
        self.disconnected = False
        self.message_event = _NO_EVENT


class BoundedProtocol(HttpToolsProtocol):
    """One connection. ``shortcut`` answers validations before ASGI; the other arguments are uvicorn's own."""

    def __init__(self, *, limits: Limits, shortcut: Callable[[], Shortcut | None], **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._limits = limits
        self._shortcut = shortcut()
        self._kept: bytes | None = None  # the body so far of a request that uvicorn has not been told of
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
            self._shortcut = None
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
        elif self._shortcut is not None and self._takes_shortcut(self._shortcut):
            self._kept = b""
            return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of a request's body."""
        if self._kept is None:
            super().on_body(body)
            return
        self._kept += body
        if len(self._kept) > KEPT_BYTES:
            self._hand_over()

    def on_message_complete(self) -> None:
        """A request is whole; the next one's headers start behind it."""
        kept, self._kept = self._kept, None
        if kept is not None and self._shortcut is not None:
            self._answer(self._shortcut, kept)
        else:
            super().on_message_complete()
        self._in_head, self._incomplete, self._head_bytes = True, False, 0

    def shutdown(self) -> None:
        """End after the request under way, also one that uvicorn has not been told of."""
        if self._kept is not None:
            self._hand_over()
        super().shutdown()

    def _takes_shortcut(self, shortcut: Shortcut) -> bool:
        """Whether the request is a validation with nothing unusual about it, on a connection with nothing under way."""
        return (
            shortcut.takes(self.parser.get_method(), self.url)
            and (self.cycle is None or self.cycle.response_complete)
            and not self.expect_100_continue
            and not self.flow.write_paused
            and not self.parser.should_upgrade()
            and self.parser.get_http_version() == "1.1"
        )

    def _hand_over(self) -> None:
        """Tell uvicorn of the request after all."""
        kept, self._kept = self._kept, None
        super().on_headers_complete()
        super().on_body(kept or b"")

    def _answer(self, shortcut: Shortcut, body: bytes) -> None:
        waiting = _Waiting(keep_alive=self.parser.should_keep_alive())
        self.cycle = waiting  # type: ignore[assignment]  # as much of a cycle as uvicorn looks at

        def give(reply: Reply, call: Call) -> None:
            if waiting.disconnected or self.transport.is_closing():
                return
            waiting.response_complete = True
            close = shortcut.closing or not waiting.keep_alive
            date = b"".join([b"%s: %s\r\n" % line for line in self.server_state.default_headers])
            cast(JoiningTransport, self.transport).write_whole(shortcut.encode(reply, call, date, close=close))
            if close:
                self.transport.close()
            self.on_response_complete()

        shortcut.answer(self.headers, body, self.client[0] if self.client else "", give)

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
