"""Hostile clients, each kind a function; run as a process of its own (``python -m tests.faults.attacks``).

They stand for other machines: the process is nice, so that what it takes of this one is not the service's.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle

CLIENTS = 16
PACE_SECONDS = 0.1
"""Between two requests of one client: 160 a second together, of up to a megabyte each."""

TURN_SECONDS = 0.005
OPENED_A_TURN = 5
"""Of connections that are held: a thousand new ones a second for those that were ended, evenly."""
BUILD_SECONDS, BUILT_A_TURN = 1.5, 50
"""Until then as many as there shall be, as fast as may be: nobody measures yet."""
SAID_SECONDS = 1.0
"""How often each of them says something more, where it does; one after the other, so that the rate is even."""

CRAFTED = b"{" + b'"":0,' * 170_000 + b'"model":"gpt-4o-mini"}'
AUTHORIZER = "/internal/v1/authz/external/openai/v1/chat/completions"
USER = 'X-MaaS-Username: mallory\r\nX-MaaS-Group: ["users"]\r\n'
HOST = "Host: x\r\n"


class Target:
    """The service under attack, and the limited keys that the attackers hold."""

    def __init__(self, port: int, keys: list[str]) -> None:
        self.port = port
        self.keys = keys

    @contextmanager
    def connection(self) -> Iterator[socket.socket]:
        """A connection; whatever the service does to it is what it does."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 20) as sock:
            yield sock
            return
        yield socket.socket()

    def ask(self, data: bytes) -> None:
        """Send a request and read its answer's beginning."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 20) as sock:
            with contextlib.suppress(OSError):
                sock.sendall(data)
            sock.recv(65536)


def repeated(target: Target, send: Callable[[Target, int], None]) -> None:
    """Sixteen clients, each again and again."""

    def one(number: int) -> None:
        time.sleep(PACE_SECONDS * number / CLIENTS)  # not all at once
        while True:
            send(target, number)
            time.sleep(PACE_SECONDS)

    for number in range(CLIENTS):
        threading.Thread(target=one, args=(number,), daemon=True).start()
    threading.Event().wait()


def held(target: Target, count: int, say: bytes = b"", again: bytes = b"") -> None:
    """Many connections that are held open, and opened again when the service ends them."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    socks: deque[socket.socket] = deque()
    begun = last = time.monotonic()
    while True:
        opened = BUILT_A_TURN if time.monotonic() - begun < BUILD_SECONDS else OPENED_A_TURN
        for _ in range(min(opened, count - len(socks))):
            with contextlib.suppress(OSError):
                sock = socket.create_connection(("127.0.0.1", target.port), 5)
                sock.setblocking(False)
                with contextlib.suppress(OSError):
                    sock.send(say)
                socks.append(sock)
        now = time.monotonic()
        for _ in range(int(len(socks) * min(1.0, (now - last) / SAID_SECONDS)) if now - last >= TURN_SECONDS else 0):
            sock, last = socks.popleft(), now
            try:
                if again:
                    sock.send(again)
                if sock.recv(1) == b"":
                    raise ConnectionResetError
                socks.append(sock)
            except BlockingIOError:
                socks.append(sock)
            except OSError:
                sock.close()
        time.sleep(TURN_SECONDS)


def post(path: str, body: bytes, headers: str = "") -> bytes:
    """A request with a body."""
    return f"POST {path} HTTP/1.1\r\n{HOST}{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


def crafted_for_the_authorizer(target: Target) -> None:
    """A megabyte of empty names, with a key that is limited to models."""
    keys = cycle(target.keys)
    requests = [
        post(
            AUTHORIZER,
            CRAFTED[:1_040_000],
            f"Authorization: Bearer {next(keys)}\r\nX-Gateway-Model-Name: gpt-4o-mini\r\n",
        )
        for _ in range(CLIENTS)
    ]
    repeated(target, lambda to, number: to.ask(requests[number]))


def crafted_for_mint(target: Target) -> None:
    """The same to mint a key: once as long as is read, once longer."""
    sizes = cycle((131_000, 1_000_000))
    requests = [post("/v1/api-keys", CRAFTED[: next(sizes)], USER) for _ in range(CLIENTS)]
    repeated(target, lambda to, number: to.ask(requests[number]))


def trailers(target: Target) -> None:
    """Trailers without end."""
    head = f"POST /v1/api-keys HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n".encode()

    def send(to: Target, _number: int) -> None:
        with to.connection() as sock, contextlib.suppress(OSError):
            sock.sendall(head)
            for _ in range(400):
                sock.sendall(b"X-MaaS-Username: mallory\r\n" * 1000)

    repeated(target, send)


def silent(target: Target) -> None:
    """Six thousand connections that say nothing."""
    held(target, 6_000)


def ten_thousand(target: Target) -> None:
    """Ten thousand that have asked once and stay."""
    held(target, 10_000, f"GET /health HTTP/1.1\r\n{HOST}\r\n".encode())


def slow(target: Target) -> None:
    """Five thousand that send a byte of a header now and then."""
    held(target, 5_000, f"GET /health HTTP/1.1\r\n{HOST}X-Slow: ".encode(), b"a")


def half_open(target: Target) -> None:
    """Ask and leave without reading, or end one's own side only."""
    request = f"GET /v1/models HTTP/1.1\r\n{HOST}{USER}Authorization: Bearer opaque\r\n\r\n".encode()

    def send(to: Target, number: int) -> None:
        for _ in range(5):
            with to.connection() as sock, contextlib.suppress(OSError):
                sock.sendall(request)
                if number % 2:
                    sock.shutdown(socket.SHUT_WR)

    repeated(target, send)


def unread(target: Target) -> None:
    """Three hundred connections with thousands of requests each, and nobody reads an answer."""
    held(
        target,
        300,
        f"GET /health HTTP/1.1\r\n{HOST}\r\n".encode() * 4000,
        f"GET / HTTP/1.1\r\n{HOST}\r\n".encode() * 100,
    )


def headers(target: Target) -> None:
    """Sixty kilobytes of headers, as short as they can be."""
    many = f"GET /v1/models HTTP/1.1\r\n{HOST}{USER}".encode() + b"a:b\r\n" * 12_000 + b"\r\n"
    repeated(target, lambda to, _number: to.ask(many))


def lines(target: Target) -> None:
    """Whatever makes the service write a line: unknown paths, bad keys, malformed requests, faults of form."""
    bad = post("/internal/v1/api-keys/validate", b'{"key":"sk-oai-a_b"}')
    odd = f"GET /{'a%0Ab' * 2000} HTTP/1.1\r\n{HOST}\r\n".encode()
    kinds = cycle((bad, odd, b"NONSENSE\r\n\r\n", post("/v1/api-keys", b"{", USER)))
    requests = [next(kinds) for _ in range(CLIENTS)]

    def send(to: Target, number: int) -> None:
        for _ in range(5):
            to.ask(requests[number])

    repeated(target, send)


ATTACKS: dict[str, Callable[[Target], None]] = {
    "crafted, authorizer": crafted_for_the_authorizer,
    "crafted, mint": crafted_for_mint,
    "trailers": trailers,
    "silent": silent,
    "slow": slow,
    "half open": half_open,
    "unread pipelining": unread,
    "10,000 connections": ten_thousand,
    "header flood": headers,
    "log provoking": lines,
}

if __name__ == "__main__":
    os.nice(10)
    told = json.load(sys.stdin)
    ATTACKS[told["attack"]](Target(told["port"], told["keys"]))
