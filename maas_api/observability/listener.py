"""The metrics listener: plain HTTP, GET /metrics, on a port of its own that no gateway exposes.

Its socket is bound before the workers exist, so a taken port is refused at start in one sentence, and every worker
accepts on it: whoever gets the scrape answers for all, and no worker's death silences it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ThreadingMixIn
from typing import Any

from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import CollectorRegistry

PATIENCE_SECONDS = 2.0
AT_ONCE = 16
"""Connections answered at once; a further one takes the place of the one that has been open the longest."""


class BindError(Exception):
    """The address cannot be listened on. The message is one sentence: the address, the cause, the option."""


def bind(host: str, port: int, option: str) -> socket.socket:
    """A listening socket. Raises BindError naming ``option``, the setting that chose the address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(2048)
    except OSError as fault:
        sock.close()
        if fault.errno == errno.EADDRINUSE:
            raise BindError(
                f"{shown} is already in use, perhaps by another maas-api: stop it or choose another address ({option})"
            ) from None
        raise BindError(f"cannot listen on {shown}: {os.strerror(fault.errno or 0)} ({option})") from None
    except OverflowError:
        sock.close()
        raise BindError(f"cannot listen on {shown}: a port is at most 65535 ({option})") from None
    sock.set_inheritable(True)
    return sock


class MetricsListener:
    """Serves a registry on a bound socket, a few scrapes at a time; a Background of every worker."""

    def __init__(self, sock: socket.socket, registry: CollectorRegistry) -> None:
        self._sock = sock
        self._registry = registry
        self._server: HTTPServer | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Accept in a thread."""
        registry = self._registry

        class Handler(_Handler):
            source = registry

        server = _Server(self._sock.getsockname()[:2], Handler, bind_and_activate=False)
        server.socket.close()
        server.socket = self._sock
        self._sock.setblocking(False)  # siblings accept on it too: a scrape that one of them took must not block us
        self._server = server
        self._thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.5}, name="metrics-listener", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop accepting here; the other workers go on."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join(timeout=2)
        self._server = None


class _Server(ThreadingMixIn, HTTPServer):
    """A thread for each connection, so that one that says nothing keeps no scrape waiting, and a bound on them."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._open: dict[socket.socket, None] = {}  # in the order in which they came
        self._lock = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own."""
        with self._lock:
            oldest = next(iter(self._open)) if len(self._open) >= AT_ONCE else None
            if oldest is not None:
                del self._open[oldest]
                with contextlib.suppress(OSError):  # it has just ended by itself
                    oldest.shutdown(socket.SHUT_RDWR)
            self._open[request] = None
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """It is over."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left is no news."""


class _Handler(BaseHTTPRequestHandler):
    source: CollectorRegistry
    timeout = PATIENCE_SECONDS
    server_version = "maas-api"
    sys_version = ""

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            self._answer(404, "text/plain; charset=utf-8", b"only GET /metrics is served here\n")
            return
        encode, content_type = choose_encoder(self.headers.get("Accept", ""))
        self._answer(200, content_type, encode(self.source))

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """A scrape is no news."""
