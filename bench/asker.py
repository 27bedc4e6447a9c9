"""Asks every worker whether one key is good, all the time, and notes when it was told so last.

One thread over sockets that never block: sixteen threads that ask with http.client take a core of their own, and what
they saw was how long they waited for it.
"""

from __future__ import annotations

import heapq
import json
import re
import selectors
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from bench.machine import workers_of
from bench.services import VALIDATE, Running

PAUSE_SECONDS: Final = 0.004
"""Between an answer and the next question of a connection: as far as a time can be told."""
_EACH: Final = 8  # connections to each process, at least
_MOST: Final = 64
_SURE: Final = 3  # refusals in a row on each connection, after which it is not asked for longer
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Round:
    """One key. ``last_yes``: when the last question was put that was answered with yes (time.monotonic), 0: none."""

    def __init__(self, key: str, connections: int) -> None:
        body = json.dumps({"key": key})
        head = f"POST {VALIDATE} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: "
        self.question = f"{head}{len(body)}\r\n\r\n{body}".encode()
        self.last_yes = 0.0
        self.accepted, self.refused = threading.Event(), threading.Event()
        self._yes: set[int] = set()
        self._no = [0] * connections

    def answered(self, number: int, asked: float, *, yes: bool) -> None:
        """What connection ``number`` was told."""
        if yes:
            self.last_yes = max(self.last_yes, asked)
            self._yes.add(number)
            self._no[number] = 0
            self.refused.clear()
            if len(self._yes) == len(self._no):
                self.accepted.set()
            return
        self._no[number] += 1
        if min(self._no) >= _SURE:
            self.refused.set()


class Asker:
    """The thread. Made by :func:`asking`."""

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        self._sockets = sockets
        self._round: Round | None = None
        self._wanted = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin; nothing is asked before :meth:`ask`."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stopping = True
        self._wanted.set()
        self._thread.join(10)

    def ask(self, key: str) -> Round:
        """Ask for this key from now on."""
        self._round = made = Round(key, len(self._sockets))
        self._wanted.set()
        return made

    def _run(self) -> None:
        self._wanted.wait()
        chooser = selectors.DefaultSelector()
        for number, sock in enumerate(self._sockets):
            sock.setblocking(False)
            chooser.register(sock, selectors.EVENT_READ, number)
        due = [(0.0, number) for number in range(len(self._sockets))]
        under_way: dict[int, tuple[Round, float]] = {}
        got = [b""] * len(self._sockets)
        while not self._stopping:
            now = time.monotonic()
            while due and due[0][0] <= now and self._round is not None:
                _, number = heapq.heappop(due)
                under_way[number] = self._round, time.monotonic()
                self._sockets[number].send(self._round.question)
            for key, _ in chooser.select(max(0.0, due[0][0] - now) if due else 0.1):
                number = key.data
                found = self._sockets[number].recv(65536)
                if not found:
                    raise ConnectionError("the service closed a connection")
                got[number] += found
                head, ended, body = got[number].partition(b"\r\n\r\n")
                length = _LENGTH.search(head)
                if not ended or length is None or len(body) < int(length[1]):
                    continue
                got[number] = b""
                asked_of, asked = under_way.pop(number)
                asked_of.answered(number, asked, yes=b'"valid":true' in body)
                heapq.heappush(due, (time.monotonic() + PAUSE_SECONDS, number))


@contextmanager
def asking(services: Sequence[Running]) -> Iterator[Asker]:
    """Over connections to every worker of each of these: the kernel gives them to whom it likes, so it is looked."""
    with ExitStack() as stack:
        sockets: list[socket.socket] = []
        for service in services:
            mine: list[socket.socket] = []
            while len(mine) < _EACH or not _reaches_all(service):
                if len(mine) >= _MOST:
                    raise SystemExit(f"{_MOST} connections do not reach every worker")
                made = stack.enter_context(socket.create_connection(("127.0.0.1", service.port), 30))
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                mine.append(made)
                if len(mine) >= _EACH:
                    time.sleep(0.05)  # they are taken in meanwhile
            sockets += mine
        asker = Asker(sockets)
        asker.start()
        stack.callback(asker.stop)
        yield asker


def _reaches_all(service: Running) -> bool:
    """Whether each worker holds a connection to the port."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    fields = (line.split() for line in lines)
    ours = {
        f"socket:[{found[9]}]" for found in fields if found[1].endswith(f":{service.port:04X}") and found[3] == "01"
    }
    return all(ours & _descriptors(pid) for pid in workers_of(service.master))


def _descriptors(pid: int) -> set[str]:
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.add(str(entry.readlink()))
        except FileNotFoundError:
            continue
    return found
