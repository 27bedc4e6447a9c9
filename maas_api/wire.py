"""HTTP values without a framework: what the fast routes take and give.

A fast route is a function ``Request -> Reply | Pending``. Two thin adapters run it: the ASGI entry answers it in
the event loop, Flask serves the same function where no ASGI server is in front, so both give the same bytes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

RawHeaders = Sequence[tuple[bytes, bytes]]
"""Header lines in the order received: (lower-case name, value), as ASGI gives them."""

HeaderLines = tuple[tuple[bytes, bytes], ...]
"""Header lines of an answer, in the order they are sent."""


_FIRST_ONLY = frozenset((b"x-maas-username", b"x-maas-group"))


class Block(tuple[tuple[bytes, bytes], ...]):
    """Header lines with how they go over the wire, for answers that are given again and again."""

    encoded: bytes

    @classmethod
    def of(cls, lines: HeaderLines) -> Block:
        """Encode the lines."""
        block = cls(lines)
        block.encoded = encoded(lines)
        return block

    def plus(self, lines: HeaderLines, said: bytes) -> Block:
        """These lines and more, which are encoded already."""
        block = Block(self + lines)
        block.encoded = self.encoded + said
        return block


def encoded(lines: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Header lines as HTTP/1.1 has them."""
    if type(lines) is Block:
        return lines.encoded
    return b"".join([b"%s: %s\r\n" % line for line in lines])


class Request(NamedTuple):
    """One HTTP request. ``path`` is percent-decoded, ``target`` is what the request line said, query included."""

    method: str
    path: str
    target: str
    headers: RawHeaders
    body: bytes

    def header(self, name: bytes) -> str | None:
        """The first value of a header (``name`` in lower case), or None. Bytes outside ASCII stay as latin-1."""
        for key, value in self.headers:
            if key == name:
                return value.decode("latin-1")
        return None

    def first_values(self) -> dict[bytes, bytes]:
        """Every header's first value, for whoever reads several of them."""
        return dict(reversed(self.headers))

    def joined(self) -> dict[bytes, str]:
        """Every header once, repeated ones joined by commas as WSGI has them; of those that say who calls the first
        counts: joined, it would be blurred where one ends."""
        found: dict[bytes, str] = {}
        for name, value in self.headers:
            text = value.decode("latin-1")
            if name not in found:
                found[name] = text
            elif name not in _FIRST_ONLY:
                found[name] += "," + text
        return found

    def header_values(self, name: bytes) -> list[str]:
        """Every value of a repeated header, in order."""
        return [value.decode("latin-1") for key, value in self.headers if key == name]


class Reply(NamedTuple):
    """A finished answer: status, header lines (without Content-Length, the adapter adds it), encoded body."""

    status: int
    headers: HeaderLines
    body: bytes


class Promise:
    """An answer that some thread will give: settled once, told to one listener.

    It is made for every validation that goes to the store, and costs a fifth of a ``concurrent.futures.Future``.
    ``begin``, where there is one, is called when somebody listens: what nobody waits for is not worked for.
    """

    __slots__ = ("_answer", "_begin", "_listener", "_lock")

    def __init__(self, begin: Callable[[Promise], None] | None = None) -> None:
        self._begin = begin
        self._lock = threading.Lock()
        self._answer: Reply | None = None
        self._listener: Callable[[Reply], None] | None = None

    def settle(self, answer: Reply) -> None:
        """Give the answer. Only the first counts."""
        with self._lock:
            if self._answer is not None:
                return
            self._answer, listener = answer, self._listener
        if listener is not None:
            listener(answer)

    def listen(self, listener: Callable[[Reply], None]) -> None:
        """Have ``listener`` called with the answer: now, or by the thread that gives it. One listener at most."""
        with self._lock:
            answer = self._answer
            if answer is None:
                self._listener = listener
        if answer is not None:
            listener(answer)
            return
        begin, self._begin = self._begin, None
        if begin is not None:
            begin(self)

    def result(self, timeout: float) -> Reply:
        """Wait in this thread, ``timeout`` seconds at most. Raises TimeoutError."""
        arrived = threading.Event()
        self.listen(lambda _answer: arrived.set())
        if not arrived.wait(timeout) or self._answer is None:
            raise TimeoutError
        return self._answer


class Pending(NamedTuple):
    """An answer that waits for the store: its promise, how long to wait (seconds), what to say when that is over."""

    promise: Promise
    timeout: float
    late: Reply

    def settled(self) -> Reply:
        """The answer, waited for in this thread."""
        try:
            return self.promise.result(self.timeout)
        except TimeoutError:
            return self.late


FastRoute = Callable[[Request], Reply | Pending]

JSON = (b"content-type", b"application/json; charset=utf-8")
"""The content type of the Go service's JSON answers."""
JSON_ONLY = Block.of((JSON,))
"""The header lines of an answer that has no others."""


ROUTE_KEY = "maas_api.route"
"""Where, in the WSGI environment, the framework leaves the template of the route that took the request."""


class Found(NamedTuple):
    """A fast route and the name it goes by in metrics and traces: its path, placeholders and all."""

    route: FastRoute
    label: str
    body_bytes: int = 0
    """Largest body it reads; 0 for the service's own limit."""
    waits: bool = False
    """It may wait for the store, and is called in a thread."""


class RouteTable:
    """The fast routes: exact (method, path) pairs, then path prefixes that take every method."""

    def __init__(self) -> None:
        self._exact: dict[tuple[str, str], Found] = {}
        self._prefixes: list[tuple[str, Found]] = []

    def add(self, method: str, path: str, route: FastRoute, *, waits: bool = False) -> None:
        """Answer exactly this method and path. ``waits``: see :attr:`Found.waits`."""
        self._exact[(method, path)] = Found(route, path, waits=waits)

    def add_prefix(self, prefix: str, route: FastRoute, *, body_bytes: int = 0) -> None:
        """Answer every method on every path that starts with ``prefix``."""
        self._prefixes.append((prefix, Found(route, f"{prefix.rstrip('/')}/*path", body_bytes)))

    def find(self, method: str, path: str) -> Found | None:
        """The route for a request, or None: then the framework answers (404, 405 and everything slower)."""
        found = self._exact.get((method, path))
        if found is not None:
            return found
        for prefix, candidate in self._prefixes:
            if path.startswith(prefix):
                return candidate
        return None

    def exact(self) -> list[tuple[str, str, FastRoute]]:
        """Every exact route, for the framework's adapter."""
        return [(method, path, found.route) for (method, path), found in self._exact.items()]

    def paths(self) -> set[str]:
        """Every path that is taken as it is."""
        return {path for _method, path in self._exact}

    def prefixes(self) -> list[tuple[str, Found]]:
        """Every prefix route, for the framework's adapter."""
        return list(self._prefixes)
