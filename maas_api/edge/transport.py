"""An answer's two writes as one.

uvicorn writes an answer's headers and then its body, and each write is a system call and a packet: together two
fifths of the time of a validation. Here headers wait for what follows them, at the longest until the event loop's
next turn, so an answer that comes at once leaves at once and whole, and a stream's headers are not held up.
"""

from __future__ import annotations

import asyncio
from typing import Any

_HEAD = b"HTTP/1."


class JoiningTransport:
    """A transport whose answers leave in one piece. Everything but writing is the transport's own."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write, together with what is held; hold the head of an answer."""
        if self._held:
            data, self._held = self._held + data, b""
        elif data.startswith(_HEAD):
            self._held = data
            self._loop.call_soon(self._flush)
            return
        self._transport.write(data)

    def write_whole(self, answer: bytes) -> None:
        """Write an answer that is complete: nothing follows to wait for."""
        self._flush()
        self._transport.write(answer)

    def write_eof(self) -> None:
        """No more will be written."""
        self._flush()
        self._transport.write_eof()

    def close(self) -> None:
        """Close after everything is written."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._held:
            data, self._held = self._held, b""
            self._transport.write(data)
