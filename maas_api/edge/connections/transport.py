"""An answer's two writes as one.

uvicorn writes an answer's headers and then its body, and each write is a system call and a packet: together two
fifths of the time of a validation. Here headers wait for what follows them, at the longest until the event loop's
next turn, so an answer that comes at once leaves at once and whole, and a stream's headers are not held up. And the
wait for a client that reads nothing is bounded.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_HEAD = b"HTTP/1."
_JOINED_BYTES = 16 * 1024
"""A longer body is handed over beside its head: to copy it would take longer than to name two pieces."""


class JoiningTransport:
    """A transport whose answers leave in one piece. Everything but writing is the transport's own."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """As the transport says; asked at every answer."""
        return self._transport.is_closing()

    def write(self, data: bytes) -> None:
        """Write, together with what is held; hold the head of an answer."""
        if self._held and len(data) > _JOINED_BYTES:
            head, self._held = self._held, b""
            self._transport.writelines((head, data))
            return
        if self._held:
            data, self._held = self._held + data, b""
        elif data.startswith(_HEAD):
            self._held = data
            self._loop.call_soon(self.flush)
            return
        self._transport.write(data)

    def write_eof(self) -> None:
        """No more will be written."""
        self.flush()
        self._transport.write_eof()

    def close(self) -> None:
        """Close after everything is written."""
        self.flush()
        self._transport.close()

    def flush(self) -> None:
        """Write what is held."""
        if self._held:
            data, self._held = self._held, b""
            self._transport.write(data)


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with a bound on how long a client may take no byte of an answer.

    uvicorn sets a timer behind each answer and cancels it at the next request, which takes as long as reading the
    request's headers. Here a connection keeps one timer, which looks when it is due how long there has been nothing.
    """

    def __init__(self, *, write_seconds: float, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._write_seconds = write_seconds
        self._write_timer: asyncio.TimerHandle | None = None
        self._since = 0.0  # when its present wait began, where it waits for the client
        self._idle_since: float | None = None  # when its last answer was out, where nothing has come since
        self._idle_timer: asyncio.TimerHandle | None = None

    def rests(self) -> None:
        """Every answer that was due is out: it is the client's turn, for as long as a connection is kept alive."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        self._idle_since = self.loop.time()
        if self._idle_timer is None:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive, self._look_whether_idle)

    def _unset_keepalive_if_required(self) -> None:
        """uvicorn's word for: something has come."""
        self._idle_since = None

    def _look_whether_idle(self) -> None:
        self._idle_timer = None
        if self._idle_since is None:
            return  # the next answer sets it again
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._idle_timer = self.loop.call_later(left, self._look_whether_idle)
        else:
            self.timeout_keep_alive_handler()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget its timers."""
        super().connection_lost(exc)
        self.forget()

    def forget(self) -> None:
        """Cancel its timers: it is gone, or another reads it."""
        for timer in (self._idle_timer, self._write_timer):
            if timer is not None:
                timer.cancel()

    def pause_writing(self) -> None:
        """The client does not read: wait, not for ever."""
        super().pause_writing()
        self._since = self.loop.time()
        self._write_timer = self.loop.call_later(self._write_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """It reads again."""
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def timeout_keep_alive_handler(self) -> None:
        """An idle connection ends; one that will not take its last answer is cut off."""
        super().timeout_keep_alive_handler()
        self._write_timer = self.loop.call_later(self._write_seconds, self.transport.abort)
