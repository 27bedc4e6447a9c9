"""A server that serves nobody, attacked like the service beside it: what hostile clients take of the machine itself.

It stands on the same event loop and has as many processes. It accepts, reads, answers the first bytes of a connection
with one constant, and ends connections as often as the service does, so that its attackers are as busy: nothing is
parsed, timed, counted or logged.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import uvloop

PROCESSES = 2
HELD = 2_000
"""Connections of one process. The oldest of them ends when there is one more."""
READ_BYTES = 64 * 1024
"""Of one connection, then it ends."""
_ANSWER = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


class Bystander(asyncio.Protocol):
    """One connection."""

    held: dict[Bystander, None] = {}  # noqa: RUF012 -- of the process, in the order of their coming

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hold it."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not of asyncio's classes
        self._read = 0
        self.held[self] = None
        if len(self.held) > HELD:
            next(iter(self.held)).end()

    def data_received(self, data: bytes) -> None:
        """Drop what came."""
        if not self._read:
            self._transport.write(_ANSWER)
        self._read += len(data)
        if self._read > READ_BYTES:
            self.end()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self.held.pop(self, None)

    def end(self) -> None:
        """End it."""
        self.held.pop(self, None)
        self._transport.abort()


@contextmanager
def bystander() -> Iterator[int]:
    """Up inside the block; gives its port."""
    spawn = multiprocessing.get_context("spawn")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(2048)
        listener.setblocking(False)
        processes = [spawn.Process(target=_serve, args=(listener,), daemon=True) for _ in range(PROCESSES)]
        for process in processes:
            process.start()
        try:
            port: int = listener.getsockname()[1]
            yield port
        finally:
            for process in processes:
                process.kill()
                process.join()


def _serve(listener: socket.socket) -> None:
    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(Bystander, sock=listener)
        await server.serve_forever()

    uvloop.run(forever())
