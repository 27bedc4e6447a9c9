"""What is said about a request: its id, its place in a trace, its access line, its numbers.

The hot path pays a few microseconds for all of it: the id is taken over or made from a fast generator, the numbers
are plain additions, and of an access line it only says what is in it (:class:`Access`). Of its successful calls one in
so many has a line. Refused calls always have, up to a number per second, because a flood of junk keys must not become a
flood of lines.
"""

from __future__ import annotations

import contextvars
import itertools
import logging
import random
import re
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from maas_api.observability import metrics
from maas_api.wire import RawHeaders, Reply

log = logging.getLogger("maas_api.access")

REQUEST_ID = b"x-request-id"
TRACEPARENT = b"traceparent"
UNMATCHED = "unmatched"
"""The route label of a request no route took, as in the Go service."""

REFUSED_LINES_PER_SECOND = 100
"""Most access lines a second for refused calls, per worker; the rest is counted. On the hot path, one that cannot be
answered now is one of them: its line costs more than its answer, and where there are many there is no time."""
NOT_NOW = 503

PATH_SHOWN = 1024
"""Most characters of a path in an access line; a client may send sixty thousand."""

_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?")
_METHODS = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"))
NOTED: Final = ("Authorization", "X-Api-Key", "Cookie", "Set-Cookie", "X-MaaS-Username", "X-MaaS-Group")
"""The headers of which a line says whether they came."""
_NOTED_BITS: Final = {name.lower().encode(): 1 << place for place, name in enumerate(NOTED)}
MESSAGE: Final = "request completed"
_bits = random.SystemRandom().getrandbits(64)
_generator = random.Random(_bits)  # noqa: S311 - an id for finding lines, nothing rests on its secrecy


class Context(NamedTuple):
    """The request a log line belongs to. Kept as received: it is read only when a line is written."""

    id: bytes
    headers: RawHeaders = ()

    @property
    def request_id(self) -> str:
        """The request's id."""
        return self.id.decode("ascii")

    @property
    def trace_id(self) -> str:
        """The caller's trace, or ``""``."""
        return trace_id(self.headers)


CONTEXT: contextvars.ContextVar[Context | None] = contextvars.ContextVar("maas_api_request", default=None)
"""Set around a request's work; every log line written meanwhile carries it."""


def reseed() -> None:
    """Give this process ids of its own. Call after fork, or siblings would make the same ones."""
    _generator.seed(random.SystemRandom().getrandbits(128))


def new_request_id() -> bytes:
    """A random UUID (version 4, RFC 9562)."""
    bits = _generator.getrandbits(122)
    return b"%08x-%04x-4%03x-%04x-%012x" % (
        bits & 0xFFFFFFFF,
        bits >> 32 & 0xFFFF,
        bits >> 48 & 0xFFF,
        0x8000 | bits >> 60 & 0x3FFF,
        bits >> 74,
    )


def request_id(headers: RawHeaders) -> bytes:
    """The caller's X-Request-ID where it is 1 to 128 letters, digits, dots, underscores and hyphens, else a new one."""
    for name, value in headers:
        if name == REQUEST_ID:
            return value if _ID.fullmatch(value) else new_request_id()
    return new_request_id()


def trace_id(headers: RawHeaders) -> str:
    """The trace a request belongs to (W3C Trace Context), or ``""`` where the header is absent or malformed."""
    for name, value in headers:
        if name == TRACEPARENT:
            match = _TRACEPARENT.fullmatch(value)
            return match[1].decode() if match and match[1].strip(b"0") and match[2].strip(b"0") else ""
    return ""


def method_label(method: str) -> str:
    """A method as a label: what is not of HTTP's own is ``other``, or callers could add series without end."""
    return method if method in _METHODS else "other"


class Access(NamedTuple):
    """What an access line says. Nothing a credential is in: of the headers only which of the noted ones came.

    ``moment`` is Unix time, ``seconds`` what the answer took, ``noted`` a bit for each of :data:`NOTED`, the first the
    lowest.
    """

    moment: float
    method: str
    path: str
    status: int
    seconds: float
    client: str
    request_id: str
    trace_id: str
    noted: int

    @property
    def milliseconds(self) -> float:
        """What the answer took, as the line tells it."""
        return round(self.seconds * 1000, 3)


def auth_headers(noted: int) -> dict[str, str]:
    """Which of the noted headers came, for a line."""
    return {name: "present" if noted >> place & 1 else "absent" for place, name in enumerate(NOTED)}


class Recorder:
    """Counts answers and writes access lines.

    ``fields`` are constants of the installation, added to every line. ``sample`` is the share (0 to 1) of the hot
    path's successful calls that get a line. ``apart``: takes a line that tells of no fault, to write it elsewhere, or
    returns False; then it goes the way of all other lines.
    """

    def __init__(
        self,
        fields: dict[str, str],
        sample: float,
        clock: Callable[[], float] = time.monotonic,
        *,
        apart: Callable[[Access], bool] | None = None,
    ) -> None:
        self._fields = fields
        self._apart = apart
        self._every = round(1 / sample) if sample > 0 else 0
        self._calls = itertools.count(1)
        self._clock = clock
        self._second = -1
        self._written = 0
        self._observers: dict[tuple[str, str, int], Callable[[float], None]] = {}

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Add one answer to the numbers."""
        observe = self._observers.get((method, route, status))
        if observe is None:
            series = metrics.http_requests.labels(method_label(method), route, str(status))
            observe = self._observers[(method_label(method), route, status)] = series.observe
        observe(seconds)

    def wants_line(self, reply: Reply, *, hot: bool) -> bool:
        """Whether this answer gets an access line."""
        if reply.status >= 500 and (reply.status != NOT_NOW or not hot):
            return True
        if not hot:
            return reply.status < 400 or self._within_limit()
        if reply.status < 400 and not reply.body.startswith(b'{"valid":false'):
            return self._every > 0 and next(self._calls) % self._every == 0
        return self._within_limit()

    def _within_limit(self) -> bool:
        second = int(self._clock())
        if second != self._second:
            self._second, self._written = second, 0
        self._written += 1
        if self._written > REFUSED_LINES_PER_SECOND:
            metrics.log_lines_suppressed.inc()
            return False
        return True

    def line(self, method: str, path: str, status: int, seconds: float, client: str, context: Context) -> None:
        """Write the access line: the Go service's fields, and the trace where there is one."""
        level = logging.ERROR if status >= 500 else logging.INFO
        if not log.isEnabledFor(level):
            return
        noted, traced = 0, False
        for name, _ in context.headers:
            if name in _NOTED_BITS:
                noted |= _NOTED_BITS[name]
            elif name == TRACEPARENT:
                traced = True
        access = Access(
            time.time(),
            method,
            path if len(path) <= PATH_SHOWN else path[:PATH_SHOWN] + "...",
            status,
            seconds,
            client,
            context.request_id,
            context.trace_id if traced else "",
            noted,
        )
        if status < 500 and self._apart is not None and self._apart(access):
            return
        fields: dict[str, Any] = {
            "method": method,
            "path": access.path,
            "status": status,
            "latency_ms": access.milliseconds,
            "client_ip": client,
            "request_id": access.request_id,
            **self._fields,
            "auth_headers": auth_headers(noted),
        }
        if access.trace_id:
            fields["trace_id"] = access.trace_id
        log.log(level, MESSAGE, extra=fields)
