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

MAX_BODY = 32 * 1024 * 1024
"""Largest request body read, in bytes: what Anthropic accepts."""

KEPT = 10_000
"""Most requests remembered by one simulator."""

KEPT_BYTES = 128 * 1024 * 1024
"""Most bytes of bodies remembered by one simulator. Of older requests the head remains."""


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


class Record(deque[Received]):
    """The last ``KEPT`` requests, with the bodies of as many as ``KEPT_BYTES`` hold, and always that of the newest."""

    def __init__(self) -> None:
        super().__init__(maxlen=KEPT)
        self._whole: deque[int] = deque()
        self._bytes = 0
        self._first = 0
        self._lock = threading.Lock()

    def append(self, request: Received) -> None:
        """Remember one more request."""
        with self._lock:
            if len(self) == KEPT:
                self._forget(self._first)
                self._first += 1
            super().append(request)
            if request.body:
                self._whole.append(self._first + len(self) - 1)
                self._bytes += len(request.body)
            while self._bytes > KEPT_BYTES and len(self._whole) > 1:
                self._forget(self._whole[0])

    def _forget(self, number: int) -> None:
        """Let go of the body of the request with that number, where it is still the oldest one kept."""
        if self._whole and self._whole[0] == number:
            self._whole.popleft()
            held = self[number - self._first]
            self._bytes -= len(held.body)
            self[number - self._first] = held._replace(body=b"")


class Whole(NamedTuple):
    """An answer sent at once, as JSON."""

    status: int
    body: Mapping[str, Any]
    headers: tuple[tuple[str, str], ...] = ()


class Events(NamedTuple):
    """A ``text/event-stream`` answer. Each item of ``events`` is one encoded event, sent on its own."""

    events: Iterator[bytes]
    headers: tuple[tuple[str, str], ...] = ()


class Binary(NamedTuple):
    """An answer sent at once that is not JSON. ``kind``: its media type."""

    kind: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


Reaction = Whole | Events | Binary
Answer = Callable[[Received], Reaction]


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
        self.received = Record()
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
        received: Record,
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


class _TooLargeError(Exception):
    """The body is larger than what is read."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # an event leaves when it is written
    timeout = 300
    server: _Server

    def handle_any(self) -> None:
        try:
            body = self._body()
        except _TooLargeError:
            self._send_too_large()
            return
        except ValueError:
            self.close_connection = True
            self.send_error(400)
            return
        request = Received(
            self.command, self.path, tuple(self.headers.items()), body, getattr(self.request, "received_sni", None)
        )
        self.server.received.append(request)
        try:
            answer = self.server.answer(request)
        except OSError:  # one that hangs up on purpose
            raise
        except Exception as fault:  # a request nobody thought of: said aloud, as a hung-up connection would not be
            self.close_connection = True
            error = {"type": "api_error", "message": f"the simulator failed: {fault!r}"}
            answer = Whole(500, {"type": "error", "error": error})
        if isinstance(answer, Events):
            self._send_events(answer)
        elif isinstance(answer, Binary):
            self._send(200, answer.kind, answer.headers, answer.body)
        else:
            body = json.dumps(answer.body, ensure_ascii=False).encode()
            self._send(answer.status, "application/json", answer.headers, body)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = handle_any  # noqa: N815 -- the names http.server calls

    def _body(self) -> bytes:
        """The request's body. Raises _TooLargeError before it is held, ValueError where its framing is broken."""
        if self.headers.get("transfer-encoding"):
            return self._chunked_body()
        length = self.headers.get("content-length", "0")
        if not length.isdecimal():
            raise ValueError("not a length")
        if int(length) > MAX_BODY:
            raise _TooLargeError
        return self.rfile.read(int(length))

    def _chunked_body(self) -> bytes:
        body = bytearray()
        while size := int(self.rfile.readline(1024).split(b";")[0], 16):
            if size < 0 or len(body) + size > MAX_BODY:
                raise _TooLargeError
            body += self.rfile.read(size)
            self.rfile.readline(1024)
        while self.rfile.readline(65536).strip():
            pass
        return bytes(body)

    def _send_too_large(self) -> None:
        """413 in a shape that both SDKs read. The rest of the body is not awaited."""
        self.close_connection = True
        error = {"type": "request_too_large", "message": f"Request exceeds the maximum size of {MAX_BODY} bytes"}
        self._send(
            413, "application/json", (("Connection", "close"),), json.dumps({"type": "error", "error": error}).encode()
        )

    def _send(self, status: int, kind: str, headers: tuple[tuple[str, str], ...], body: bytes) -> None:
        self._head(status, kind, headers, ("Content-Length", str(len(body))))
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
