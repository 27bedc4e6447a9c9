"""The server's entry: fast routes answered in the event loop, Flask for the rest in a bounded pool of threads.

It is the edge: the request body is read whole and bounded here, header names with an underscore are dropped (they
would pass for the gateway's own once a dash becomes an underscore), ``/internal`` is guarded, and every answer gets
its request id, its place in the numbers and, where it is due, its access line.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import os
import sys
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from time import perf_counter
from typing import Any

from maas_api import config
from maas_api.app import Service, build
from maas_api.edge import bridge, cors, guard
from maas_api.edge.bodies import Bodies, Crowded, Left
from maas_api.edge.mailbox import Mailbox
from maas_api.edge.shortcut import Shortcut
from maas_api.edge.web import too_large
from maas_api.errors import plain
from maas_api.gateway.signin import identified
from maas_api.lifecycle import Background
from maas_api.observability import logs, metrics, tracing
from maas_api.observability.accesslines import AccessLines
from maas_api.observability.outlet import Outlet
from maas_api.observability.requests import (
    CONTEXT,
    REQUEST_ID,
    UNMATCHED,
    Context,
    Recorder,
    method_label,
    request_id,
    reseed,
)
from maas_api.observability.tracing import Tracing
from maas_api.wire import JSON, JSON_ONLY, Found, Pending, RawHeaders, Reply, Request

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

NOSNIFF = (b"x-content-type-options", b"nosniff")
HSTS = (b"strict-transport-security", b"max-age=31536000")
FAULT = plain(500, "internal server error").reply()
INTERNAL_FAULT = Reply(500, JSON_ONLY, b"")
INTERNAL_BUSY = Reply(503, (JSON, (b"retry-after", b"1")), b"")
BUSY = plain(503, "the service is busy, try again", headers=(("Retry-After", "1"),)).reply()

QUEUE_SECONDS = 10.0
"""Longest wait for a thread. A request that waited longer is not begun: its client has most likely given up, and after
an outage of the store the threads would be busy for nobody, minting keys that nobody sees."""

SWITCH_SECONDS = 0.0005
"""How long another thread may keep the interpreter from the event loop; Python's own 5 ms are many validations. What
rebuilds the catalog or looks keys up is in no such hurry. A fifth of it made a mint cost a third more."""

_log = logging.getLogger(__name__)


class Entry:
    """The ASGI application over an assembled service. Starts and stops it by the lifespan protocol.

    ``around`` runs around the service: started before it, stopped after it, such as what publishes its numbers.
    ``outlet``, one of these, writes the log; without it access lines are made in the event loop.
    """

    def __init__(self, service: Service, around: Sequence[Background] = (), outlet: Outlet | None = None) -> None:
        settings = service.settings
        self._service = service
        self._around = around
        self._limit = settings.max_body_bytes
        self._bodies = Bodies()
        self._outlet = outlet
        self._pool = ThreadPoolExecutor(settings.threads, thread_name_prefix="flask")
        fields = {
            "tenant_name": settings.tenant_name,
            "tenant_namespace": settings.namespace,
            "gateway_name": settings.gateway_name,
        }
        apart = None if outlet is None else partial(outlet.apart, AccessLines(fields, service.fast.paths()).line)
        self._recorder = Recorder(fields, settings.access_log_sample, apart=apart)
        self._tracing: Tracing | None = None
        self._mailbox = Mailbox()
        self._standing = (NOSNIFF, HSTS) if settings.tls else (NOSNIFF,)
        self._cors = settings.debug

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection event of ASGI 3: http or lifespan. A websocket is refused."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    @cached_property
    def shortcut(self) -> Shortcut | None:
        """The way for the gateway's questions around ASGI; None where each request is traced or given CORS headers. For
        when the service is started."""
        if self._tracing is not None or self._cors:
            return None
        readiness = self._service.readiness
        return Shortcut(
            self._service.fast,
            self._service.internal,
            self._recorder,
            self._mailbox,
            self._standing,
            lambda: readiness.draining,
        )

    def drain(self) -> None:
        """Say no to readiness probes and close every connection after its next answer; keep answering meanwhile."""
        self._service.readiness.draining = True

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = perf_counter()
        method = scope["method"]
        headers = [line for line in scope["headers"] if b"_" not in line[0]]
        context = Context(request_id(headers), headers)
        CONTEXT.set(context)  # every request runs in a task of its own, so this ends with it
        span = self._tracing.begin(method, headers) if self._tracing is not None else None
        found = self._service.fast.find(method, scope["path"])
        label = found.label if found is not None else ""
        limit = self._limit if found is None else found.body_bytes or self._limit
        with self._bodies.of(receive, headers, limit) as body:
            try:
                content = await body.read()
                known = headers if self._service.sign_in is None else await self._sign_in(scope, headers)
                answer = (
                    known
                    if isinstance(known, Reply)
                    else self._at_once(scope, known, content, found, too_long=body.unread)
                )
                if not isinstance(answer, Reply):
                    in_flight = metrics.http_in_flight.labels(method_label(method))
                    in_flight.inc()
                    try:
                        if isinstance(answer, Request):
                            answer, label = await self._in_a_thread(answer, scope, found)
                        else:
                            answer = await self._mailbox.settle(answer)
                    finally:
                        in_flight.dec()
            except Left:
                return
            except Crowded:
                metrics.refusals.labels("body").inc()
                answer = INTERNAL_BUSY if scope["path"].startswith(guard.PREFIX) else BUSY
            except Exception:
                _log.exception("request failed", extra={"method": method})
                # Under /internal without a body: Authorino takes whatever parses for a verdict and remembers it.
                answer = INTERNAL_FAULT if scope["path"].startswith(guard.PREFIX) else FAULT
        close = body.unread or self._service.readiness.draining
        standing = (*self._standing, (REQUEST_ID, context.id))
        if self._cors:
            answer = cors.allow(method, headers, answer)
        try:
            await _respond(send, answer, standing, close=close)
        except RuntimeError as fault:
            if "closed" not in str(fault):  # uvloop's word for a client that has just left
                raise
        seconds = perf_counter() - begun
        self._recorder.count(method, label or UNMATCHED, answer.status, seconds)
        if self._recorder.wants_line(answer, hot=found is not None and not found.waits):
            client = scope.get("client")
            self._recorder.line(method, scope["path"], answer.status, seconds, client[0] if client else "", context)
        if self._tracing is not None and span is not None:
            self._tracing.end(span, method, label or UNMATCHED, answer.status)

    async def _sign_in(self, scope: Scope, headers: RawHeaders) -> RawHeaders | Reply:
        """The headers with the caller's identity in them, or the answer that refuses the caller."""
        if self._service.sign_in is None:
            return headers
        client = scope.get("client")
        answer = self._service.sign_in.ask(scope["method"], scope["path"], headers, client[0] if client else "")
        if isinstance(answer, Pending):
            answer = await self._mailbox.settle(answer)
        if answer is None:
            return headers
        return identified(headers, answer) if answer.status == 200 else answer

    def _at_once(
        self, scope: Scope, headers: RawHeaders, body: bytes, found: Found | None, *, too_long: bool
    ) -> Reply | Pending | Request:
        """The answer of the guard or of a fast route, or the request that is to be answered in a thread."""
        path = scope["path"]
        if path.startswith(guard.PREFIX):
            refused = self._service.internal.refuse(path, headers)
            if refused is not None:
                return refused
        query = scope["query_string"]
        target = path if not query else f"{path}?{query.decode('latin-1')}"
        request = Request(scope["method"], path, target, headers, body)
        if found is not None and not found.waits:
            return found.route(request)
        return too_large(self._limit) if too_long else request

    async def _in_a_thread(self, request: Request, scope: Scope, found: Found | None) -> bridge.Called:
        """The answer of a route that waits, or of Flask."""
        client = scope.get("client")
        call = (
            partial(
                bridge.call,
                self._service.flask,
                request,
                scheme=scope.get("scheme", "http"),
                client=client[0] if client else "",
            )
            if found is None
            else partial(bridge.straight, found, request)
        )
        begin_by = perf_counter() + QUEUE_SECONDS
        run = contextvars.copy_context().run

        def work() -> bridge.Called:
            return bridge.Called(BUSY, "") if perf_counter() > begin_by else run(call)

        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def _start(self) -> None:
        reseed()
        settings = self._service.settings
        if settings.otel_exporter_otlp_endpoint:
            provider = tracing.provider(
                settings.otel_exporter_otlp_endpoint,
                insecure=settings.otel_exporter_otlp_insecure,
                rate=settings.otel_traces_sample_rate,
            )
            constants = {
                "tenant.name": settings.tenant_name,
                "tenant.namespace": settings.namespace,
                "gateway.name": settings.gateway_name,
                "gateway.namespace": settings.gateway_namespace,
            }
            self._tracing = Tracing(provider, constants)
        for part in self._around:
            part.start()
        self._service.start()
        # What is here by now stays. Frozen, it is left out of full collections, which stop every thread: at 60 ms each
        # they were the p99 of validations that go to the store.
        gc.collect()
        gc.freeze()
        sys.setswitchinterval(SWITCH_SECONDS)

    def _stop(self) -> None:
        try:
            self._service.stop()
        finally:
            if self._tracing is not None:
                self._tracing.stop()
            for part in reversed(self._around):
                part.stop()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await asyncio.to_thread(self._start)
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                if self._outlet is not None:
                    self._outlet.leave()
                await asyncio.to_thread(self._stop)
                self._pool.shutdown(wait=False, cancel_futures=True)
                await send({"type": "lifespan.shutdown.complete"})
                return


async def _respond(send: Send, reply: Reply, standing: tuple[tuple[bytes, bytes], ...], *, close: bool) -> None:
    headers = [*reply.headers, *standing, (b"content-length", b"%d" % len(reply.body))]
    if reply.status == 204:
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
            settings = config.load({}, os.environ)
            logs.configure(settings.log_format, "debug" if settings.debug else settings.log_level)
            self._entry = Entry(build(settings))
        await self._entry(scope, receive, send)


app = _FromEnvironment()
"""The entry for a server that imports its application, such as Granian or a bare uvicorn (``maas_api.asgi:app``).

Such a server brings its own certificates, bounds and draining; the metrics of all its workers are published by
``maas-api serve`` alone.
"""
