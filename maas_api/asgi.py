"""The server's entry: fast routes answered in the event loop, Flask for the rest in a bounded pool of threads.

It is the edge: the request body is read whole and bounded here, header names with an underscore are dropped (they
would pass for the gateway's own once a dash becomes an underscore), and ``/internal`` is guarded.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from maas_api import bridge, config, guard
from maas_api.app import Service, build
from maas_api.web import too_large
from maas_api.wire import Pending, RawHeaders, Reply, Request

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Entry:
    """The ASGI application over an assembled service. Starts and stops it by the lifespan protocol."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._limit = service.settings.max_body_bytes
        self._pool = ThreadPoolExecutor(service.settings.threads, thread_name_prefix="flask")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection event of ASGI 3: http or lifespan. A websocket is refused."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, method = scope["path"], scope["method"]
        headers = [line for line in scope["headers"] if b"_" not in line[0]]
        body = await _read(receive, headers, self._limit)
        if body is None:
            return
        too_long = len(body) > self._limit
        answer: Reply | Pending | None = None
        if path.startswith(guard.PREFIX):
            answer = self._service.internal.refuse(headers)
        if answer is None:
            query = scope["query_string"]
            target = path if not query else f"{path}?{query.decode('latin-1')}"
            request = Request(method, path, target, headers, b"" if too_long else body)
            route = self._service.fast.find(method, path)
            if route is not None:
                answer = route(request)
            elif too_long:
                answer = too_large(self._limit)
            else:
                answer = await self._flask(request, scope)
        if isinstance(answer, Pending):
            answer = await _settle(answer)
        await _respond(send, answer, close=too_long)

    async def _flask(self, request: Request, scope: Scope) -> Reply:
        client = scope.get("client")
        call = partial(
            bridge.call,
            self._service.flask,
            request,
            scheme=scope.get("scheme", "http"),
            client=client[0] if client else "",
        )
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await asyncio.to_thread(self._service.start)
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await asyncio.to_thread(self._service.stop)
                self._pool.shutdown(wait=False, cancel_futures=True)
                await send({"type": "lifespan.shutdown.complete"})
                return


async def _read(receive: Receive, headers: RawHeaders, limit: int) -> bytes | None:
    """The request's body, or more than ``limit`` bytes of it where it is too long; None when the client left."""
    for name, value in headers:
        if name == b"content-length" and value.isdigit() and int(value) > limit:
            return bytes(limit + 1)
    message = await receive()
    if message["type"] == "http.disconnect":
        return None
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        return body
    parts, size = [body], len(body)
    while size <= limit:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if not message.get("more_body", False):
            break
    return b"".join(parts)


async def _settle(pending: Pending) -> Reply:
    """Wait for the answer, not beyond its deadline. Others may wait for the same future, so it is not cancelled."""
    try:
        return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(pending.future)), pending.timeout)
    except TimeoutError:
        return pending.late


async def _respond(send: Send, reply: Reply, *, close: bool) -> None:
    headers = [*reply.headers, (b"content-length", b"%d" % len(reply.body))]
    if reply.status in (204, 304):  # neither has a body to measure (RFC 9110, section 8.6)
        headers.pop()
    if close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


class _FromEnvironment:
    """Settings from the environment, read when the server starts the application and not at import."""

    def __init__(self) -> None:
        self._entry: Entry | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._entry is None:
            self._entry = Entry(build(config.load({}, os.environ)))
        await self._entry(scope, receive, send)


app = _FromEnvironment()
"""The entry for a server that imports its application, such as Granian or a bare uvicorn (``maas_api.asgi:app``)."""
