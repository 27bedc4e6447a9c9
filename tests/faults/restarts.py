"""Restarts under load: how many requests are lost, and how long an end takes."""

from __future__ import annotations

import http.client
import os
import select
import signal
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.support.process import Running, running
from tests.support.wait import until

REQUESTS = 30_000
CLIENTS = 8
LOOK_SECONDS = 0.5
"""How often a load balancer looks who is ready."""
GRACE = 15.0
BODY = b'{"key":"sk-oai-a_b"}'


@dataclass
class Row:
    """One line of the table. ``seconds`` is the longest end."""

    fault: str
    sent: int = 0
    lost: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def held(self) -> bool:
        """Whether nothing was lost and every end came within the grace."""
        return not self.lost and self.seconds <= GRACE

    def text(self) -> str:
        """The line."""
        shown = "".join(f"\n{'':<34} {text}" for text in sorted(set(self.lost))[:3])
        return f"{self.fault:<34} {self.sent:>7} {len(self.lost):>6} {self.seconds:>8.2f} s{shown}"


HEAD = f"{'restarts':<34} {'sent':>7} {'lost':>6} {'end':>10}"


class Clients:
    """Clients with kept connections that go where somebody is ready, as behind a Service."""

    def __init__(self, row: Row, ready: Callable[[], list[Running]], *, tls: bool = False) -> None:
        self._row = row
        self._ready = ready
        self._tls = ssl._create_unverified_context() if tls else None
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._one, args=(number,)) for number in range(CLIENTS)]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_fault: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _one(self, number: int) -> None:
        connection: http.client.HTTPConnection | None = None
        sent = 0
        while not self._stop.is_set():
            try:
                if connection is None or _ended(connection):
                    connection = self._connect(number + sent)
                connection.request("POST", "/internal/v1/api-keys/validate", BODY)
                answer = connection.getresponse()
                text = answer.read()
                if answer.status != 200:
                    self._lost(f"{answer.status} {text[:60]!r}")
                if answer.getheader("connection") == "close":
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as fault:
                self._lost(repr(fault)[:80])
                connection = None
            sent += 1
            with self._lock:
                self._row.sent += 1
        if connection is not None:
            connection.close()

    def _connect(self, number: int) -> http.client.HTTPConnection:
        ready = self._ready()
        port = ready[number % len(ready)].port
        made = (
            http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            if self._tls is None
            else http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=self._tls)
        )
        made.connect()
        return made

    def _lost(self, text: str) -> None:
        with self._lock:
            self._row.lost.append(text)


def _ended(connection: http.client.HTTPConnection) -> bool:
    """Whether the server has ended a connection that lay idle: what every client with a pool looks at first."""
    return connection.sock is None or bool(select.select([connection.sock], [], [], 0)[0])


def restarts(folder: Path, requests: int = REQUESTS) -> Iterator[Row]:
    """Every kind, with the service's own defaults."""
    drain = ("--drain-seconds", "2")  # the default, which the tests' own service turns off
    for scheme, more in (("http", ()), ("https", ("--tls-self-signed",))):
        place = _made(folder / f"hup-{scheme}")
        with running(place, "--workers", "2", *drain, *more, scheme=scheme) as service:
            yield _hup(f"SIGHUP, {scheme}", service, requests // 2, tls=scheme == "https")
        place = _made(folder / f"roll-{scheme}")
        yield _rolling(f"rolling restart, {scheme}", place, (*drain, *more), scheme, requests // 2)
        for busy in (False, True):
            place = _made(folder / f"end-{scheme}-{busy}")
            with running(place, "--workers", "2", *drain, *more, scheme=scheme) as service:
                yield _end(f"SIGTERM, {'busy' if busy else 'idle'}, {scheme}", service, busy=busy)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _hup(name: str, service: Running, requests: int, *, tls: bool) -> Row:
    row = Row(name)
    with Clients(row, lambda: [service], tls=tls):
        while row.sent < requests:
            old = set(service.workers())
            begun = time.monotonic()
            os.kill(service.process.pid, signal.SIGHUP)
            until(lambda old=old: old.isdisjoint(service.workers()), what="the old workers are gone", seconds=40)  # type: ignore[misc]
            row.seconds = max(row.seconds, time.monotonic() - begun)
    return row


def _rolling(name: str, folder: Path, flags: tuple[str, ...], scheme: str, requests: int) -> Row:
    row = Row(name)
    serving: list[Running] = []
    ready: list[Running] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK_SECONDS):
            found = [one for one in list(serving) if _is_ready(one)]
            ready[:] = found or ready

    with ExitStack() as stack:

        def another(number: int) -> Running:
            place = _made(folder / str(number))
            started = stack.enter_context(running(place, "--workers", "2", *flags, scheme=scheme))
            serving.append(started)
            return started

        ready[:] = [another(0), another(1)]
        looking = threading.Thread(target=look)
        looking.start()
        with Clients(row, lambda: list(ready), tls=scheme == "https"):
            number = 2
            while row.sent < requests or number < 4:
                fresh = another(number)
                until(lambda fresh=fresh: fresh in ready, what="the new one gets requests")  # type: ignore[misc]
                old = serving.pop(0)
                begun = time.monotonic()
                assert old.stop(seconds=40) == 0
                row.seconds = max(row.seconds, time.monotonic() - begun)
                number += 1
        over.set()
        looking.join()
    return row


def _end(name: str, service: Running, *, busy: bool) -> Row:
    """SIGTERM with clients that lie idle, or that do not stop asking until they are told to go."""
    row = Row(name)
    with Clients(row, lambda: [service], tls=service.scheme == "https") as clients:
        until(lambda: row.sent > 500, what="the clients are at it")
        if not busy:
            clients._stop.set()
            for thread in clients._threads:
                thread.join()
        context = None if service.scheme == "http" else ssl._create_unverified_context()
        idle = (
            http.client.HTTPConnection("127.0.0.1", service.port)
            if context is None
            else http.client.HTTPSConnection("127.0.0.1", service.port, context=context)
        )
        idle.connect()
        begun = time.monotonic()
        service.process.terminate()
        if busy:  # until readiness says no, as a load balancer would
            until(lambda: not _is_ready(service), what="it says no", seconds=5)
            clients._stop.set()
        service.process.wait(40)
        row.seconds = time.monotonic() - begun
    return row


def _is_ready(service: Running) -> bool:
    try:
        return httpx.get(f"{service.url}/readyz", verify=False).status_code == 200
    except httpx.TransportError:
        return False
