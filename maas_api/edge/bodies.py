"""Reading request bodies: bounded one by one, and all of a worker's together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from types import TracebackType
from typing import Any

from maas_api.wire import RawHeaders

SMALL_BYTES = 64 * 1024
"""Up to here a body is no matter; what it holds beyond counts towards :data:`TOGETHER_BYTES`."""
TOGETHER_BYTES = 64 * 1024 * 1024
"""Of one worker's memory, what large bodies may hold at once. Two thousand clients could otherwise hold two thousand
times the largest."""

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class Left(Exception):  # noqa: N818 - names the state, like LookupError
    """The client left before its request was whole: nobody waits for an answer."""


class Crowded(Exception):  # noqa: N818 - names the state, like LookupError
    """Large bodies hold all the memory they may."""


class Bodies:
    """The bodies of one worker's requests."""

    def __init__(self, together: int = TOGETHER_BYTES) -> None:
        self.held = 0
        self.together = together

    def of(self, receive: Receive, headers: RawHeaders, limit: int) -> Body:
        """A request's body, not read yet. ``limit`` is bytes."""
        return Body(self, receive, headers, limit)


class Body:
    """One request's body; a context manager around all the time that it is held."""

    def __init__(self, bodies: Bodies, receive: Receive, headers: RawHeaders, limit: int) -> None:
        self._bodies = bodies
        self._receive = receive
        self._headers = headers
        self._limit = limit
        self._counted = 0
        self.unread = False
        """Whether it was not read to its end: it is longer than the limit, or there is no room for it."""

    def __enter__(self) -> Body:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self._bodies.held -= self._counted

    async def read(self) -> bytes:
        """All of it, or nothing where it is too long. Raises Left or Crowded."""
        for name, value in self._headers:
            if name == b"content-length" and value.isdigit() and int(value) > self._limit:
                self.unread = True
                return b""
        parts: list[bytes] = []
        size = 0
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Left
            part: bytes = message.get("body", b"")
            more = message.get("more_body", False)
            if not more and not parts:
                self.unread = len(part) > self._limit
                return b"" if self.unread else part
            parts.append(part)
            size += len(part)
            if size > self._limit:
                self.unread = True
                return b""
            self._count(size)
        return b"".join(parts)

    def _count(self, size: int) -> None:
        """Take what is beyond a small body's size out of what all may hold."""
        counted = max(0, size - SMALL_BYTES)
        if counted == self._counted:
            return
        if self._bodies.held + counted - self._counted > self._bodies.together:
            self.unread = True
            raise Crowded
        self._bodies.held += counted - self._counted
        self._counted = counted
