"""A worker that others take the processor from: what is answered in time, what is refused, and how soon."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import selectors
import socket
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from bench import services, stores
from bench.machine import percentile, table
from bench.services import VALIDATE

HOGS = 4
"""Busy loops beside the worker, as eager as it is."""
IN_TIME = 0.1
"""Seconds: the deadline of a validation by default."""
CONNECTIONS = 64
RATE = 1_000
"""A second, of the callers that do not wait for one another."""
KEYS = 60_000
REST_SECONDS = 0.5
"""Before a refused caller asks again: what SDKs wait at first."""


class Answer(NamedTuple):
    """One validation as its caller saw it."""

    seconds: float
    status: int
    empty: bool


def run(*, quick: bool) -> None:
    """Measure and print."""
    seconds = 1.0 if quick else 8.0
    rows = []
    with stores.postgres() as server, tempfile.TemporaryDirectory() as folder:
        store, file = server.migrated(), Path(folder) / "keys"
        stores.fill(store, KEYS, file, KEYS)
        keys = file.read_text().split()
        for what, rate, cached, hogs in (
            ("64 callers, one after another", 0, False, 0),
            ("64 callers, one after another", 0, False, HOGS),
            (f"{RATE:,} a second", RATE, False, HOGS),
            (f"{3 * RATE:,} a second", 3 * RATE, False, HOGS),
            ("64 callers, remembered keys", 0, True, HOGS),
        ):
            with services.maas(store) as running, _hogs(hogs):
                answers = _asked(running.port, keys[:100] if cached else keys, seconds, rate)
            rows.append((what, str(hogs), *_told(answers, seconds)))
    print(
        f"\nOne worker beside busy loops (hogs): validations of new keys; in time is within {IN_TIME * 1e3:.0f} ms, as"
        f" the caller sees it\n"
    )
    table(("load", "hogs", "good/s", "in time/s", "503/s", "late %", "503 late", "p50 ms", "p99 ms", "max ms"), rows)


def _told(answers: list[Answer], seconds: float) -> tuple[str, ...]:
    good = [one.seconds for one in answers if one.status == 200]
    refused = [one.seconds for one in answers if one.status == 503 and one.empty]
    odd = len(answers) - len(good) - len(refused)
    every = [one.seconds for one in answers] or [float("nan")]
    late = sum(one > IN_TIME for one in every)
    return (
        f"{len(good) / seconds:,.0f}",
        f"{sum(one <= IN_TIME for one in good) / seconds:,.0f}",
        f"{len(refused) / seconds:,.0f}" + (f" and {odd} others" if odd else ""),
        f"{100 * late / len(every):.2f}",
        str(sum(one > IN_TIME for one in refused)),
        f"{percentile(every, 50) * 1e3:.1f}",
        f"{percentile(every, 99) * 1e3:.1f}",
        f"{max(every) * 1e3:.1f}",
    )


@contextmanager
def _hogs(count: int) -> Iterator[None]:
    spawn = multiprocessing.get_context("spawn")
    hogs = [spawn.Process(target=_busy, daemon=True) for _ in range(count)]
    for hog in hogs:
        hog.start()
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.join()


def _busy() -> None:
    while True:
        pass


def _asked(port: int, keys: list[str], seconds: float, rate: float) -> list[Answer]:
    """What callers in a process of their own saw. It goes first where it may: it stands for other machines."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    caller = spawn.Process(target=_call, args=(theirs, port, keys, seconds, rate), daemon=True)
    caller.start()
    try:
        answers: list[Answer] = [Answer(*one) for one in ours.recv()]
    finally:
        caller.kill()
        caller.join()
    return answers


def _call(to: Connection, port: int, keys: list[str], seconds: float, rate: float) -> None:
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -19)
    to.send(Callers(port, keys).run(seconds, rate))


class Callers:
    """Connections that ask: at a ``rate`` of 0 each when it is answered, else whichever is free when it is time."""

    def __init__(self, port: int, keys: list[str]) -> None:
        self._port = port
        self._keys = itertools.cycle(keys)
        self._selector = selectors.DefaultSelector()
        self._idle: list[socket.socket] = []
        self._begun: dict[socket.socket, float] = {}
        self._resting: deque[tuple[float, socket.socket]] = deque()
        self.answers: list[tuple[float, int, bool]] = []

    def run(self, seconds: float, rate: float) -> list[tuple[float, int, bool]]:
        """Ask for so long, then wait for what is under way."""
        for _ in range(CONNECTIONS):
            self._open()
        began = time.monotonic()
        end, sent = began + seconds, 0
        while (now := time.monotonic()) < end or (self._begun and now < end + 2):
            while self._resting and self._resting[0][0] <= now:
                self._idle.append(self._resting.popleft()[1])
            if now >= end:
                due = 0
            elif rate:
                due = int((now - began) * rate) - sent
            else:
                due = len(self._idle)
            for _ in range(due):
                self._ask(now if not rate else began + (sent + 1) / rate)
                sent += 1
            wait = max(0.0, began + (sent + 1) / rate - time.monotonic()) if rate else 0.1
            for key, _ in self._selector.select(min(wait, 0.1, self._rest(now))):
                self._read(key.fileobj)  # type: ignore[arg-type]  # only sockets are registered
        self.answers += [(time.monotonic() - at, 0, False) for at in self._begun.values()]
        return self.answers

    def _rest(self, now: float) -> float:
        return max(0.0, self._resting[0][0] - now) if self._resting else 0.1

    def _open(self) -> None:
        sock = socket.create_connection(("127.0.0.1", self._port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(sock, selectors.EVENT_READ)
        self._idle.append(sock)

    def _ask(self, at: float) -> None:
        if not self._idle:
            self._open()
        sock = self._idle.pop()
        body = b'{"key":"%s"}' % next(self._keys).encode()
        head = f"POST {VALIDATE} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        self._begun[sock] = at
        with contextlib.suppress(ConnectionError):  # it is found to be gone when its answer is read
            sock.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    def _gone(self, sock: socket.socket) -> None:
        self._selector.unregister(sock)
        sock.close()
        if sock in self._begun:
            self.answers.append((time.monotonic() - self._begun.pop(sock), 0, False))
        elif sock in self._idle:
            self._idle.remove(sock)
        else:
            self._resting = deque(one for one in self._resting if one[1] is not sock)

    def _read(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(65536)
        except ConnectionError:
            data = b""
        if not data:  # of too many connections, idle ones give way
            self._gone(sock)
            return
        head, _, body = data.partition(b"\r\n\r\n")
        now, status = time.monotonic(), int(head[9:12])
        self.answers.append((now - self._begun.pop(sock), status, not body))
        if status == 200:
            self._idle.append(sock)
        else:
            self._resting.append((now + REST_SECONDS, sock))
