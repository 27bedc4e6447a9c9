"""A tap between a program and the gateway: bytes pass as they are, request lines and statuses are noted."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable
from typing import NamedTuple

_REQUEST = re.compile(rb"([A-Z]+) (\S+) HTTP/1\.[01]\r\n")
_EVENTS = re.compile(rb"(?i)\r\ncontent-type: *text/event-stream")
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]")


_Note = Callable[[bytes, list[int]], None]


class Exchange(NamedTuple):
    """One request and its answer: the status, 0 while there is none, and whether it is an event stream."""

    request: str
    status: int
    streamed: bool = False


class Tap:
    """Listens on a free port of 127.0.0.1 and passes everything on to another. A context manager.

    A message's head is looked for where a piece of the stream begins, which is where clients and Envoy put it.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._noted: list[Exchange] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """Where a program shall call."""
        return f"http://127.0.0.1:{self._server.getsockname()[1]}"

    @property
    def exchanges(self) -> list[Exchange]:
        """What has passed so far."""
        with self._lock:
            return list(self._noted)

    def __enter__(self) -> Tap:
        return self

    def __exit__(self, *_: object) -> None:
        self._hang_up(self._server)
        for each in list(self._open):
            self._hang_up(each)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            gateway = socket.create_connection(("127.0.0.1", self._target))
            self._open |= {client, gateway}
            waiting: list[int] = []
            for source, sink, note in ((client, gateway, self._asked), (gateway, client, self._answered)):
                threading.Thread(target=self._pass_on, args=(source, sink, note, waiting), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, note: _Note, waiting: list[int]) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                note(piece, waiting)
                sink.sendall(piece)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def _asked(self, piece: bytes, waiting: list[int]) -> None:
        if found := _REQUEST.match(piece):
            with self._lock:
                waiting.append(len(self._noted))
                self._noted.append(Exchange(b" ".join(found.groups()).decode("latin-1"), 0))

    def _answered(self, piece: bytes, waiting: list[int]) -> None:
        if (found := _STATUS.match(piece)) and found[1] != b"100":
            with self._lock:
                if waiting:
                    at = waiting.pop(0)
                    streamed = _EVENTS.search(piece) is not None
                    self._noted[at] = self._noted[at]._replace(status=int(found[1]), streamed=streamed)

    @staticmethod
    def _hang_up(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()
