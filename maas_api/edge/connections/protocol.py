"""HTTP/1.1 with bounds: uvicorn's protocol, and what it leaves to the server in front of it.

uvicorn and its parser refuse what is not HTTP. They set no bound to the size of headers, to the time a client takes
to send a request, to the time it takes to read an answer, nor to a connection that never says a word; and over
the limit of connections they answer plain text. One timer per connection that is late, none for one that is not: a
request that arrives whole, as nearly all do, pays two attribute writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NoReturn, cast

from maas_api.edge.connections import limits as bound
from maas_api.edge.connections import refusals
from maas_api.edge.connections.limits import Limits
from maas_api.edge.connections.room import Held, Loss, Standing, make_room, room_of
from maas_api.edge.connections.transport import JoiningTransport, PatientProtocol
from maas_api.observability import metrics


class BoundedProtocol(PatientProtocol):
    """One connection that has come in. ``out``: shown what comes where all that was asked is answered, it says whether
    another reads the connection from that on. The other arguments are uvicorn's own."""

    def __init__(self, out: Callable[[bytes], bool], *, limits: Limits, **uvicorns: Any) -> None:
        super().__init__(write_seconds=limits.write_seconds, **uvicorns)
        self._out: Callable[[bytes], bool] | None = out
        self._limits = limits
        self._room = room_of(self.loop)
        self._timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._framing_bytes = 0  # of the body's framing, since the last of its content: chunk extensions, trailers
        self._trailers = 0
        self._in_head = True
        self._incomplete = False
        self._refused = False  # nothing more is read
        self._farewell: bytes | None = None  # what is said behind the answers still due, before the connection ends

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn declares it
        """Count the connection in. Over the limit others give way to it, those that would lose the least."""
        super().connection_made(transport)
        self._joining = JoiningTransport(transport, self.loop)
        self.transport = cast(asyncio.Transport, self._joining)
        limit = self._limits.connections
        if len(self.connections) > limit:
            make_room(cast(set[Held], self.connections), self._room, limit)
        count = len(self.connections)
        metrics.connections.set(count)
        if count > limit:
            metrics.refusals.labels("connections").inc()
            if count > 2 * limit:
                self._refused = True
                transport.abort()
                return
            self.app = refusals.crowded(self.app)
        self._since = self.loop.time()
        self._timer = self.loop.call_later(self._limits.idle_seconds, self.transport.abort)
        self._room.unspoken.waits(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it out."""
        super().connection_lost(exc)
        metrics.connections.set(len(self.connections))

    def forget(self) -> None:
        """Cancel its timers, and wait for nothing."""
        super().forget()
        self._out = None  # it holds this one
        self._room.unspoken.spoke(self)
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and watch the clock while a request is incomplete."""
        refused = self._refused
        if refused:
            self._framing_bytes += len(data)  # read so that the client gets to read its answer, not for ever
            if self._framing_bytes > bound.LINGER_BYTES:
                self.transport.abort()
            return
        if self._idle_since is not None and self._out is not None and self._may_leave() and self._out(data):
            return
        if self._in_head:
            self._head_bytes += len(data)
        else:
            self._framing_bytes += len(data)
        super().data_received(data)
        limit = self._limits.header_bytes
        if self._refused:  # the parser's callbacks may have
            return
        if self._in_head and self._head_bytes > limit:
            self._refuse(431, self._too_many_bytes, "headers")
        elif self._framing_bytes > limit:
            self._refuse(431, f"chunk extensions and trailers must not exceed {limit} bytes", "headers")
        elif self._incomplete:
            if self._timer is None:
                self._since = self.loop.time()
                self._timer = self.loop.call_later(self._limits.header_seconds, self._late)
                if self._in_head:
                    self._room.unspoken.waits(self)
        elif self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def on_message_begin(self) -> None:
        """A request's first byte."""
        if len(self.pipeline) >= bound.WAITING_AT_MOST:
            metrics.refusals.labels("pipelined").inc()
            self._refused, self._farewell = True, b""
            raise refusals.Enough
        super().on_message_begin()
        self._in_head = self._incomplete = True
        if self._timer is not None:  # the one that waits for a first byte
            self._timer.cancel()
            self._timer = None
            self._room.unspoken.spoke(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header line. A trailer is none: whoever reads headers would take it for one (RFC 9110, 6.5.1)."""
        if not self._in_head:
            self._trailers += 1
            if self._trailers > bound.HEADERS_AT_MOST:
                self._too_many("trailers")
            return
        if len(self.headers) >= bound.HEADERS_AT_MOST:
            self._too_many("headers")
        super().on_header(name, value)

    def _too_many(self, what: str) -> NoReturn:
        self._refuse(431, f"a request must not have more than {bound.HEADERS_AT_MOST} {what}", "headers")
        raise refusals.Enough

    def on_headers_complete(self) -> None:
        """A request's headers are whole. Counted exactly only where they could be too many."""
        self._in_head, self._framing_bytes, self._trailers = False, 0, 0
        if self._timer is not None:  # the one that waits for the rest
            self._room.unspoken.spoke(self)
        limit = self._limits.header_bytes
        if self._head_bytes > limit and len(self.url) + sum(len(n) + len(v) + 4 for n, v in self.headers) > limit:
            metrics.refusals.labels("headers").inc()
            self.app = refusals.always(431, self._too_many_bytes)
        elif self.parser.get_http_version() not in ("1.1", "1.0"):  # the parser knows 0.9 and 2.0 as well
            metrics.refusals.labels("malformed").inc()
            self.app = refusals.UNSPOKEN
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        """A chunk begins."""
        self._framing_bytes = 0

    def on_body(self, body: bytes) -> None:
        """A part of a request's body."""
        self._framing_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is whole; the next one's headers start behind it."""
        super().on_message_complete()
        self._in_head, self._incomplete, self._head_bytes, self._framing_bytes = True, False, 0, 0

    def on_response_complete(self) -> None:
        """An answer is out. Behind the last one that was due, what was still to be said."""
        if not self.pipeline:
            if self._farewell is None:
                self.rests()
            else:
                self._part()
        elif not self.transport.is_closing():
            self._room.turns.take(self.loop, self._next)

    def _next(self) -> None:
        """It is the turn of what waited behind an answer. Nothing more is read before that is answered as well."""
        if self.pipeline and not self.transport.is_closing():
            self._start_asgi_task(*self.pipeline.pop())

    def shutdown(self) -> None:
        """End after the request under way. On a connection that is new it may still be on its way."""
        if self.cycle or self._refused:
            self._end_after_request()
        else:
            self.loop.call_later(bound.PARTING_SECONDS, self._end_after_request)

    def _end_after_request(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.give_way()
        else:
            super().shutdown()

    def _may_leave(self) -> bool:
        return not (self._incomplete or self._refused or self.flow.write_paused or self.transport.is_closing())

    def leave(self) -> None:
        """Another reads the connection from now on."""
        self._joining.flush()
        self.connections.discard(self)
        self.forget()
        self.parser = None  # type: ignore[assignment]  # as uvicorn does at the end: each holds the other

    @property
    def _too_many_bytes(self) -> str:
        return f"request line and headers must not exceed {self._limits.header_bytes} bytes"

    def _late(self) -> None:
        """The first deadline has passed with the request incomplete. The body gets the rest of its own."""
        limits, self._timer = self._limits, None
        if self._in_head:
            self._refuse(408, f"request headers took longer than {limits.header_seconds:g} s", "slow")
            return
        rest, late = max(0.0, limits.request_seconds - limits.header_seconds), "the request took longer than"
        self._timer = self.loop.call_later(rest, self._refuse, 408, f"{late} {limits.request_seconds:g} s", "slow")

    def send_400_response(self, msg: str) -> None:
        """What the parser refuses."""
        self._refuse(400, "malformed HTTP request", "malformed")

    def _refuse(self, status: int, message: str, reason: str) -> None:
        """Answer without the application and close, behind the answers to earlier requests that are still due."""
        if self._refused:
            return
        metrics.refusals.labels(reason).inc()
        self._refused = True
        if self.transport.is_closing():
            return
        self._farewell = refusals.whole(status, message, self.server_state.default_headers)
        cycle = self.cycle
        due = cycle is not None and not cycle.response_complete
        if due and not self._in_head:  # the request being read: its application must not answer as well
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.abort()
                return
            due = bool(self.pipeline)
            if due:
                self.pipeline.popleft()
        if not due:
            self._part()

    def _part(self) -> None:
        """Say what is left to say, and end the connection; what the client is still sending is not read."""
        farewell, self._farewell = self._farewell, None
        if self._timer is not None:
            self._timer.cancel()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if farewell:
            self.transport.write(farewell)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()
        self._timer = self.loop.call_later(bound.LINGER_SECONDS, self.transport.abort)

    def standing(self) -> Standing | None:
        """What closing it now would cost its client; None while a request of it is being answered."""
        if self._write_timer is not None:
            return Standing(Loss.UNFINISHED, self._since)
        if self.pipeline or self._timer is None or (self._in_head and self.cycle and not self.cycle.response_complete):
            return None if self._idle_since is None else Standing(Loss.IDLE, self._idle_since)
        return Standing(Loss.UNSPOKEN if self._in_head else Loss.UNFINISHED, self._since)

    def give_way(self) -> None:
        """Close an idle connection. TLS has its own farewell, for which a client that is idle lets us wait."""
        self.transport.close()
        self._refused = True
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(bound.PARTING_SECONDS, self.transport.abort)
