"""The server under every simulator: a pure ``answer`` function, behind threads, TLS and a record of what came in."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

MAX_BODY = 4 * 1024 * 1024
"""Largest request body read, in bytes."""

KEPT = 10_000
"""Most requests remembered by one simulator."""


class Received(NamedTuple):
    """One request as it arrived: header lines in order and in their original case, ``sni`` from the TLS handshake."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    sni: str | None

    def header(self, name: str) -> str | None:
        """The first value of a header, any case, or None."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def text(self) -> str:
        """Everything the sender disclosed, for searching."""
        lines = "\n".join(f"{name}: {value}" for name, value in self.headers)
        return f"{self.method} {self.path}\n{lines}\n\n{self.body.decode('utf-8', 'replace')}"


class Whole(NamedTuple):
    """An answer sent at once, as JSON."""

    status: int
    body: Mapping[str, Any]
    headers: tuple[tuple[str, str], ...] = ()


class Events(NamedTuple):
    """A ``text/event-stream`` answer. Each item of ``events`` is one encoded event, sent on its own."""

    events: Iterator[bytes]
    headers: tuple[tuple[str, str], ...] = ()


Answer = Callable[[Received], Whole | Events]


def event(data: Mapping[str, Any] | str, name: str = "") -> bytes:
    """One server-sent event."""
    text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    return (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()


class Simulator:
    """Serves ``answer`` on a free port of 127.0.0.1. Use it as a context manager, or ``start`` and ``stop`` it.

    ``certificate``: a server context, or None for plain HTTP. ``pause``: seconds between two events of a stream, so
    that a buffering proxy in between shows.
    """

    def __init__(
        self, name: str, answer: Answer, *, certificate: ssl.SSLContext | None = None, pause: float = 0.03
    ) -> None:
        self.name = name
        self.received: deque[Received] = deque(maxlen=KEPT)
        self._server = _Server(("127.0.0.1", 0), answer, self.received, certificate, pause)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name=name, daemon=True)
        self._scheme = "http" if certificate is None else "https"

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Scheme, address and port, without a path."""
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve in the background. The socket is bound already, so requests may come at once."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving and free the port."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.hang_up()
        self._server.server_close()

    def __enter__(self) -> Simulator:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self,
        address: tuple[str, int],
        answer: Answer,
        received: deque[Received],
        certificate: ssl.SSLContext | None,
        pause: float,
    ) -> None:
        self.answer, self.received, self.pause = answer, received, pause
        self.certificate = certificate
        if certificate is not None:
            certificate.sni_callback = _remember_name
        self._open: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serve one connection, in its own thread: a peer that stalls its handshake holds up nobody else."""
        if self.certificate is not None:
            request.settimeout(_Handler.timeout)
            request = self.certificate.wrap_socket(request, server_side=True)
        self._open.add(request)
        try:
            super().finish_request(request, client_address)
        finally:
            self._open.discard(request)
            request.close()

    def hang_up(self) -> None:
        """End the connections that peers keep open."""
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """A peer that hangs up is no event: proxies close idle and probing connections all the time."""


def _remember_name(connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
    connection.received_sni = name  # type: ignore[attr-defined]  # the ssl module offers no other place for it


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # an event leaves when it is written
    timeout = 300
    server: _Server

    def handle_any(self) -> None:
        length = self.headers.get("content-length", "0")
        if self.headers.get("transfer-encoding"):
            body = self._chunked_body()
        elif length.isdecimal() and int(length) <= MAX_BODY:
            body = self.rfile.read(int(length))
        else:
            self.send_error(413)
            return
        request = Received(
            self.command, self.path, tuple(self.headers.items()), body, getattr(self.request, "received_sni", None)
        )
        self.server.received.append(request)
        answer = self.server.answer(request)
        if isinstance(answer, Whole):
            self._send_whole(answer)
        else:
            self._send_events(answer)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = handle_any  # noqa: N815 -- the names http.server calls

    def _chunked_body(self) -> bytes:
        parts: list[bytes] = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            if sum(map(len, parts)) + size > MAX_BODY:
                raise ValueError("body too large")
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(parts)

    def _send_whole(self, answer: Whole) -> None:
        body = json.dumps(answer.body, ensure_ascii=False).encode()
        self._head(answer.status, "application/json", answer.headers, ("Content-Length", str(len(body))))
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_events(self, answer: Events) -> None:
        headers = (("Cache-Control", "no-cache"), *answer.headers)
        self._head(200, "text/event-stream; charset=utf-8", headers, ("Transfer-Encoding", "chunked"))
        for number, piece in enumerate(answer.events):
            if number:
                time.sleep(self.server.pause)
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def _head(self, status: int, kind: str, headers: tuple[tuple[str, str], ...], framing: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (("Content-Type", kind), *headers, framing):
            self.send_header(name, value)
        self.end_headers()

    def version_string(self) -> str:
        return "maas-demo-simulator"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the signature of http.server
        """Silent: what came in is in ``received``."""
