"""What the server itself answers, where a request does not get as far as the application."""

from __future__ import annotations

import http
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from maas_api.edge.guard import PREFIX
from maas_api.errors import encode

Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Any, Send], Awaitable[None]]


class Enough(Exception):  # noqa: N818 - stops the parser, is no fault
    """Nothing more of a connection is to be parsed."""


_ALWAYS_SERVED = frozenset(("/health", "/healthz", "/readyz"))
"""Probes. Refused for want of room, they would have the process killed that is busy serving."""


def whole(status: int, message: str, standing: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A refusal as it goes over the wire; the connection ends with it. ``standing``: the server's own header lines."""
    body = encode({"error": message})
    head = f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}\r\n".encode()
    lines = [b"%s: %s\r\n" % line for line in standing]
    lines.append(b"content-type: application/json; charset=utf-8\r\nx-content-type-options: nosniff\r\n")
    lines.append(b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body))
    return b"".join((head, *lines, body))


def always(status: int, message: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Application:
    """An application that gives one answer and closes. Under ``/internal`` a 503 has no body: it must not be cached."""

    async def answer(scope: MutableMapping[str, Any], _receive: Any, send: Send) -> None:
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


UNSPOKEN = always(505, "this server speaks HTTP/1.1")
_OVERLOADED = always(503, "too many connections, try again", ((b"retry-after", b"1"),))


def crowded(app: Application) -> Application:
    """``app`` on a connection too many: for probes and the platform's own callbacks, and 503 for everyone else."""

    async def answer(scope: MutableMapping[str, Any], receive: Any, send: Send) -> None:
        path = scope["path"]
        served = path in _ALWAYS_SERVED or path.startswith(PREFIX)
        await (app if served else _OVERLOADED)(scope, receive, send)

    return answer
