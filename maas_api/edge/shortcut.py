"""A validation answered before ASGI: no scope, no task, one write.

Every inference request waits for this answer, and most of what ASGI costs is spent on what it cannot need: a task, an
event, a queue of messages. So the connection's protocol hands a validation over as headers and body, and gets the
answer, or the promise of one, at once. What is answered, counted and logged is the same as through the entry; a
request that is in any way unusual takes that way.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

from maas_api.edge.guard import InternalGuard
from maas_api.edge.mailbox import Mailbox
from maas_api.observability import metrics
from maas_api.observability.requests import REQUEST_ID, Context, Recorder, request_id
from maas_api.wire import JSON, FastRoute, Pending, RawHeaders, Reply, Request

METHOD = "POST"
PATH = "/internal/v1/api-keys/validate"
FAULT = Reply(500, (JSON,), b"")
"""Our own fault on the callback. Without a body: Authorino takes whatever parses for a verdict and remembers it."""

_METHOD, _TARGET = METHOD.encode(), PATH.encode()
_WITH_QUERY = _TARGET + b"?"
_STATUS_LINES = {
    200: b"HTTP/1.1 200 OK\r\n",
    400: b"HTTP/1.1 400 Bad Request\r\n",
    401: b"HTTP/1.1 401 Unauthorized\r\n",
    404: b"HTTP/1.1 404 Not Found\r\n",
    500: b"HTTP/1.1 500 Internal Server Error\r\n",
    503: b"HTTP/1.1 503 Service Unavailable\r\n",
}

_log = logging.getLogger(__name__)


class Call(NamedTuple):
    """A validation under way: what its answer is recorded with."""

    headers: RawHeaders
    client: str
    begun: float


class _NoEvent:
    """An event nobody waits for."""

    def set(self) -> None:
        """Nothing to wake."""


_NO_EVENT = _NoEvent()


class Waiting:
    """Stands where uvicorn keeps a request's cycle while a shortcut's answer is looked up: what comes behind it on
    the same connection queues, and a shutdown or a lost connection is noted."""

    def __init__(self, *, keep_alive: bool) -> None:
        self.keep_alive = keep_alive
        self.response_started = False
        self.response_complete = False
        self.disconnected = False
        self.message_event = _NO_EVENT


class Shortcut:
    """Answers the validation callback for the connections of one worker."""

    def __init__(
        self,
        route: FastRoute,
        guard: InternalGuard,
        recorder: Recorder,
        mailbox: Mailbox,
        standing: tuple[tuple[bytes, bytes], ...],
        draining: Callable[[], bool],
    ) -> None:
        """``standing``: headers that every answer carries. ``draining``: whether connections are to end."""
        self._route = route
        self._guard = guard
        self._recorder = recorder
        self._mailbox = mailbox
        self._standing = _lines(standing)
        self._draining = draining
        self._in_flight = metrics.http_in_flight.labels(METHOD)
        self._heads: dict[tuple[int, tuple[tuple[bytes, bytes], ...]], bytes] = {}

    @staticmethod
    def takes(method: bytes, target: bytes) -> bool:
        """Whether this request is the callback, written the way its callers write it."""
        return (target == _TARGET or target.startswith(_WITH_QUERY)) and method == _METHOD

    def answer(
        self, target: bytes, headers: RawHeaders, body: bytes, client: str, give: Callable[[Reply, Call], None]
    ) -> None:
        """Have ``give`` called with the answer, at once where it is known, else from the event loop later."""
        call = Call(headers, client, perf_counter())
        try:
            answer = self._guard.refuse(PATH, headers) or self._route(
                Request(METHOD, PATH, target.decode("latin-1"), headers, body)
            )
        except Exception:
            _log.exception("validation failed")
            answer = FAULT
        if isinstance(answer, Pending):
            self._in_flight.inc()
            self._mailbox.when(answer, lambda reply: self._later(reply, call, give))
        else:
            give(answer, call)

    def _later(self, reply: Reply, call: Call, give: Callable[[Reply, Call], None]) -> None:
        self._in_flight.dec()
        give(reply, call)

    @property
    def closing(self) -> bool:
        """Whether a connection ends after its answer."""
        return self._draining()

    def encode(self, reply: Reply, call: Call, date: bytes, *, close: bool) -> bytes:
        """The answer as it goes over the wire; ``date`` is the server's own header lines. Records it."""
        identifier = request_id(call.headers)
        key = (reply.status, reply.headers)
        head = self._heads.get(key)
        if head is None:  # a handful: verdicts, refusals and faults have constant headers
            head = self._heads[key] = _STATUS_LINES[reply.status] + _lines(reply.headers) + self._standing
        seconds = perf_counter() - call.begun
        self._recorder.count(METHOD, PATH, reply.status, seconds)
        if self._recorder.wants_line(reply, hot=True):
            context = Context(identifier, call.headers)
            self._recorder.line(METHOD, PATH, reply.status, seconds, call.client, context)
        return b"%s%s%s: %s\r\ncontent-length: %d\r\n%s\r\n%s" % (
            head,
            date,
            REQUEST_ID,
            identifier,
            len(reply.body),
            b"connection: close\r\n" if close else b"",
            reply.body,
        )


def _lines(headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
    return b"".join(b"%s: %s\r\n" % line for line in headers)
