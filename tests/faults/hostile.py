"""What the others notice of hostile clients: their answers, and the service's memory.

On one machine hostile clients take the processor too, and so would they if they attacked something else. So each kind
is let loose three times in turn, again and again: not at all, on a server that serves nobody (:mod:`.bystander`), and
on the service, at one fixed rate once it has built up. What the others notice of the last beyond the second is the
service's own doing.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from tests.faults.attacks import ATTACKS, AUTHORIZER, BUILD_SECONDS
from tests.faults.bystander import bystander
from tests.support.process import ROOT, USER, Running, running
from tests.support.wait import until

TIMES = 1.5
"""How much longer the others' 99th percentile may be than while the same clients attack the server beside."""
ROUNDS = 3
"""Of quiet, beside, on the service: the machine's own mood is no attack."""
MEMORY = 3.0
"""How many times the quiet run's memory the workers may take."""
PACE_SECONDS = 0.02
FILES = 400
"""Open files allowed to a process, where these are what runs out."""

Sent = tuple[str, str, bytes, dict[str, str]]


@dataclass
class Seen:
    """Of one kind of request: seconds of each answer, and what was no right answer."""

    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def at(self, share: float) -> float:
        """A percentile, in seconds."""
        ordered = sorted(self.seconds) or [float("inf")]
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


Kinds = dict[str, Seen]


@dataclass
class Row:
    """One line of the table."""

    fault: str
    quiet: Kinds
    beside: Kinds
    seen: Kinds
    megabytes: tuple[float, float]
    """Before and meanwhile."""

    @property
    def held(self) -> bool:
        """Whether nobody noticed."""
        if any(seen.errors for seen in self.seen.values()):
            return False
        return self.times <= TIMES and self.megabytes[1] <= MEMORY * self.megabytes[0]

    @property
    def times(self) -> float:
        """The 99th percentile of all the others' requests, as a multiple of that beside."""
        return p99(self.seen) / p99(self.beside)


def p99(kinds: Kinds) -> float:
    """Of all the others' requests together."""
    return Seen([second for seen in kinds.values() for second in seen.seconds]).at(0.99)


def _nothing_seen() -> Kinds:
    return {kind: Seen() for kind in ("validate", "authorizer", "listing", "probes")}


class Others:
    """Clients that do nothing wrong, at a steady pace, each over a fresh connection now and then."""

    def __init__(self, port: int, key: str) -> None:
        listing = {**USER, "Authorization": "Bearer opaque"}
        bearer = {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/json",
            "X-Gateway-Model-Name": "gpt-4o-mini",
        }
        chat = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}).encode()
        self._port = port
        self._kinds: dict[str, Sent] = {
            "validate": ("POST", "/internal/v1/api-keys/validate", json.dumps({"key": key}).encode(), {}),
            "authorizer": ("POST", AUTHORIZER, chat, bearer),
            "listing": ("GET", "/v1/models", b"", listing),
            "probes": ("GET", "/readyz", b"", {}),
        }

    def watch(self, seconds: float, seen: Kinds | None = None) -> None:
        """Add to ``seen`` what they see in so many seconds."""
        seen = _nothing_seen() if seen is None else seen
        end = time.monotonic() + seconds
        threads = [
            threading.Thread(target=self._one, args=(sent, seen[kind], end)) for kind, sent in self._kinds.items()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _one(self, sent: Sent, seen: Seen, end: float) -> None:
        method, path, body, headers = sent
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        for number in range(1_000_000):
            if time.monotonic() > end:
                break
            if number % 10 == 0:
                connection.close()
            begun = time.monotonic()
            try:
                connection.request(method, path, body or None, headers)
                answer = connection.getresponse()
                text = answer.read()
                if answer.status != 200:
                    seen.errors.append(f"{answer.status} {text[:60]!r}")
            except (OSError, http.client.HTTPException) as fault:
                seen.errors.append(repr(fault)[:80])
                connection.close()
            seen.seconds.append(time.monotonic() - begun)
            time.sleep(max(0.0, PACE_SECONDS - (time.monotonic() - begun)))
        connection.close()


FILE_LIMIT = "file limit"


def hostile_clients(folder: Path, seconds: float, chosen: Sequence[str] | None = None) -> Iterator[Row]:
    """One row for each kind of client, or for the ``chosen``."""
    wanted = chosen or (*ATTACKS, FILE_LIMIT)
    with running(folder, "--workers", "2") as service, bystander() as beside:
        key = _minted(service)
        keys = [_minted(service, models=["gpt-4o-mini"]) for _ in range(4)]
        others = Others(service.port, key)
        others.watch(1)  # caches, imports, connections
        memory = _megabytes(service)

        def row(name: str, attack: str) -> Row:
            found = Row(name, _nothing_seen(), _nothing_seen(), _nothing_seen(), (memory, 0))
            for _ in range(ROUNDS):
                others.watch(seconds / ROUNDS, found.quiet)
                for port, seen in ((beside, found.beside), (service.port, found.seen)):
                    with attacking(attack, port, keys):
                        others.watch(BUILD_SECONDS)  # what it costs from then on counts
                        others.watch(seconds / ROUNDS, seen)
                        found.megabytes = (memory, max(found.megabytes[1], _megabytes(service)))
                    until(lambda: httpx.get(service.url + "/readyz").status_code == 200, what="the service is there")
            return found

        for attack in ATTACKS:
            if attack in wanted:
                yield row(attack, attack)
        if FILE_LIMIT in wanted:
            with few_files(service):
                yield row(FILE_LIMIT, "silent")


@contextmanager
def attacking(attack: str, port: int, keys: list[str]) -> Iterator[None]:
    """The attack under way, in a process of its own."""
    command = [sys.executable, "-m", "tests.faults.attacks"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps({"attack": attack, "port": port, "keys": keys}).encode())
        process.stdin.close()
        try:
            yield
        finally:
            process.kill()


@contextmanager
def few_files(service: Running) -> Iterator[None]:
    """Workers that may open only so many files."""
    old = set(service.workers())
    resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE, (FILES, FILES))
    os.kill(service.process.pid, signal.SIGHUP)
    until(lambda: old.isdisjoint(service.workers()), what="the workers are new ones", seconds=30)
    yield


def _minted(service: Running, **more: object) -> str:
    answer = httpx.post(f"{service.url}/v1/api-keys", json={"name": "k", **more}, headers=USER)
    key: str = answer.json()["key"]
    return key


def _megabytes(service: Running) -> float:
    found = 0
    for worker in service.workers():
        with contextlib.suppress(psutil.NoSuchProcess):
            found += psutil.Process(worker).memory_info().rss
    return found / 1e6


LINE = "{:<20} {:>12} {:>12} {:>12} {:>12} {:>7} {:>7} {:>7} {:>6} {:>4} {:>6}"
HEAD = LINE.format(
    "hostile clients",
    "validate",
    "authorizer",
    "listing",
    "probes",
    "all p99",
    "beside",
    "quiet",
    "times",
    "MB",
    "errors",
)


def lines(row: Row) -> Iterator[str]:
    """The row as text: p50 and p99 of each kind in milliseconds, then what was no right answer."""
    shown = [f"{seen.at(0.5) * 1e3:.1f} / {seen.at(0.99) * 1e3:.1f}" for seen in row.seen.values()]
    errors = [text for seen in row.seen.values() for text in seen.errors]
    together = (f"{p99(kinds) * 1e3:.1f}" for kinds in (row.seen, row.beside, row.quiet))
    told = (f"{row.times:.2f}", f"{row.megabytes[1]:.0f}", len(errors))
    yield LINE.format(row.fault, *shown, *together, *told) + ("" if row.held else "  NOT HELD")
    yield from (f"{'':<20} {text}" for text in sorted(set(errors))[:3])
