"""The gateway's questions answered before ASGI: no scope, no task, one write.

Every inference request waits for one of these answers, the validation of its key or the authorizer's word, and most of
what ASGI costs is spent on what they cannot need: a task, an event, a queue of messages. So a connection hands a
question over as headers and body, and gets the answer, or the promise of one, at once. What is answered, counted and
logged is the same as through the entry; a request that is in any way unusual takes that way.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from http import HTTPStatus
from time import perf_counter
from typing import NamedTuple

from maas_api.edge.guard import PREFIX, InternalGuard
from maas_api.edge.mailbox import Mailbox
from maas_api.observability import metrics
from maas_api.observability.requests import REQUEST_ID, Context, Recorder, request_id
from maas_api.wire import JSON_ONLY, Found, Pending, RawHeaders, Reply, Request, RouteTable, encoded

PATH = "/internal/v1/api-keys/validate"
FAULT = Reply(500, JSON_ONLY, b"")
"""Our own fault on a callback. Without a body: Authorino takes whatever parses for a verdict and remembers it."""

_PREFIX, _TARGET = PREFIX.encode(), PATH.encode()
_METHODS = ("POST", "GET")
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}

_log = logging.getLogger(__name__)


class Way(NamedTuple):
    """A question that has no more than its target to say which it is, and the route that answers it."""

    method: str
    path: str
    target: str
    found: Found


class Call(NamedTuple):
    """A question under way: what its answer is recorded with."""

    way: Way
    headers: RawHeaders
    begun: float
    client: Callable[[], str]


class Shortcut:
    """Answers the fast routes below ``/internal/`` for the connections of one worker."""

    def __init__(
        self,
        routes: RouteTable,
        guard: InternalGuard,
        recorder: Recorder,
        mailbox: Mailbox,
        standing: tuple[tuple[bytes, bytes], ...],
        draining: Callable[[], bool],
    ) -> None:
        """``standing``: headers that every answer carries. ``draining``: whether connections are to end."""
        self._routes = routes
        self._validation = self._find("POST", PATH, PATH)
        self._guard = guard
        self._recorder = recorder
        self._mailbox = mailbox
        self._standing = encoded(standing)
        self._dated: Sequence[tuple[bytes, bytes]] = ()
        self._date = b""
        self.draining = draining
        self._in_flight = {method: metrics.http_in_flight.labels(method) for method in _METHODS}

    def way(self, method: str, target: bytes) -> Way | None:
        """The way of a POST or GET that is one of the questions, written the way their callers write them."""
        if target == _TARGET and method == "POST":
            return self._validation
        if not target.startswith(_PREFIX) or b"%" in target or b"#" in target or not target.isascii():
            return None
        text = target.decode("ascii")
        return self._find(method, text.partition("?")[0], text)

    def _find(self, method: str, path: str, target: str) -> Way | None:
        found = self._routes.find(method, path)
        return None if found is None or found.body_bytes else Way(method, path, target, found)

    def answer(self, way: Way, headers: RawHeaders, body: bytes) -> Reply | Pending:
        """The answer, where it is known; else a promise of it, for :meth:`later`."""
        try:
            return self._guard.refuse(way.path, headers) or way.found.route(
                Request(way.method, way.path, way.target, headers, body)
            )
        except Exception:
            _log.exception("a question of the gateway failed", extra={"method": way.method})
            return FAULT

    def later(self, answer: Pending, way: Way, give: Callable[[Reply], None]) -> None:
        """Have ``give`` called with what was promised, or with what is said when it comes too late."""
        in_flight = self._in_flight[way.method]

        def arrived(reply: Reply) -> None:
            in_flight.dec()
            give(reply)

        in_flight.inc()
        self._mailbox.when(answer, arrived)

    def encode(self, reply: Reply, call: Call, dated: Sequence[tuple[bytes, bytes]], *, close: bool) -> bytes:
        """The answer as it goes over the wire; ``dated``: the server's own header lines, another object each time that
        they change. Records it."""
        if dated is not self._dated:
            self._dated, self._date = dated, encoded(dated)
        identifier = request_id(call.headers)
        way = call.way
        seconds = perf_counter() - call.begun
        self._recorder.count(way.method, way.found.label, reply.status, seconds)
        if self._recorder.wants_line(reply, hot=True):
            context = Context(identifier, call.headers)
            self._recorder.line(way.method, way.path, reply.status, seconds, call.client(), context)
        return b"%s%s%s%s%s: %s\r\ncontent-length: %d\r\n%s\r\n%s" % (
            _STATUS_LINES[reply.status],
            encoded(reply.headers),
            self._standing,
            self._date,
            REQUEST_ID,
            identifier,
            len(reply.body),
            b"connection: close\r\n" if close else b"",
            reply.body,
        )
