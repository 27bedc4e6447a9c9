"""Bytes over a socket, for what no HTTP client would send."""

from __future__ import annotations

import contextlib
import re
import socket
from typing import NamedTuple
from urllib.parse import urlsplit


class Said(NamedTuple):
    """What came back before the server closed or fell silent: the bytes, and whether it closed."""

    data: bytes
    closed: bool

    @property
    def statuses(self) -> list[int]:
        """The status of every response in the data."""
        return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3}) ", self.data)]


def connect(base: str, seconds: float = 5.0) -> socket.socket:
    """A connection to the server at this base URL."""
    address = urlsplit(base)
    return socket.create_connection((address.hostname, address.port), timeout=seconds)


def hear(sock: socket.socket, seconds: float = 5.0) -> Said:
    """Read until the server closes, or for ``seconds``."""
    sock.settimeout(seconds)
    data = b""
    try:
        while piece := sock.recv(65536):
            data += piece
    except TimeoutError:
        return Said(data, closed=False)
    except ConnectionResetError:
        pass
    return Said(data, closed=True)


def exchange(base: str, data: bytes, seconds: float = 5.0) -> Said:
    """Send bytes and hear the answer out: until the server closes, so let the last request ask for that."""
    with connect(base, seconds) as sock:
        with contextlib.suppress(OSError):  # refused before everything was sent
            sock.sendall(data)
        return hear(sock, seconds)
