"""How new connections come in beside those that are being served.

libuv, and so uvloop, takes one connection from a listening socket at each turn of the loop, so that the workers that
share the socket share what comes. But a busy worker's turn is as long as the requests in it: of 64 connections that
came together while others asked, the last waited for 200 ms before anything of it was read (``bench --only arrivals``).
So after a long turn a worker lets in as many as would have come in short ones.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Callable

TURN_SECONDS = 0.00025
"""A turn that takes as long lets one more in. To let one in takes less than a quarter of that: a flood of them makes
turns longer by less than a third."""

AT_ONCE = 64
"""At most so many after one turn, however long it was."""


class Arrivals:
    """One listening socket, bound and not blocking, that other processes may share."""

    def __init__(
        self,
        listening: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        *,
        tls: ssl.SSLContext | None = None,
        handshake_seconds: float | None = None,
        parting_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``protocol`` makes that of a new connection. The seconds are the bounds of both ends of TLS."""
        self._listening = listening
        self._protocol = protocol
        self._tls = tls
        bounds = (None, None) if tls is None else (handshake_seconds, parting_seconds)
        self._handshake_seconds, self._parting_seconds = bounds
        self._clock = clock
        self._since: float | None = None  # when this turn began, or the loop took one in it; None: nobody comes
        self._taken = False  # one, in this turn
        self._coming: set[asyncio.Task[None]] = set()
        self._closed = False

    async def listen(self, backlog: int) -> asyncio.Server:
        """Let connections in from now on."""
        self._loop = asyncio.get_running_loop()
        return await self._loop.create_server(
            self._one,
            sock=self._listening,
            ssl=self._tls,
            backlog=backlog,
            ssl_handshake_timeout=self._handshake_seconds,
            ssl_shutdown_timeout=self._parting_seconds,
        )

    async def close(self) -> None:
        """Let no more in than the loop does. Those on their way in are in, or at their handshake, when it returns."""
        self._closed = True
        await asyncio.sleep(0)  # the one that the loop has taken
        if self._coming:
            await asyncio.wait(self._coming, timeout=0.05)

    def _one(self) -> asyncio.Protocol:
        """The loop took one: see how long turns are for as long as more come."""
        self._taken = True
        if self._since is None:
            self._next_turn()
        return self._protocol()

    def _next_turn(self) -> None:
        self._since = self._clock()
        self._loop.call_soon(self._more)

    def _more(self) -> None:
        since, self._since = self._since, None
        if since is None or self._closed:
            return
        for _ in range(min(AT_ONCE, int((self._clock() - since) / TURN_SECONDS))):
            try:
                taken, _address = self._listening.accept()
            except OSError:  # nobody waits; or what the loop meets too when it takes the next, and says
                self._taken = False
                return
            self._taken = True
            task = self._loop.create_task(self._let_in(taken))
            self._coming.add(task)
            task.add_done_callback(self._coming.discard)
        if self._taken:
            self._taken = False
            self._next_turn()

    async def _let_in(self, taken: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._protocol,
                taken,
                ssl=self._tls,
                ssl_handshake_timeout=self._handshake_seconds,
                ssl_shutdown_timeout=self._parting_seconds,
            )
        except OSError:  # it is gone already, or does not speak TLS: the same as where the loop took it
            taken.close()
