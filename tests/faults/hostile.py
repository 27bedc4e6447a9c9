"""What the others notice of hostile clients: their answers beside a quiet run of the same service, and its memory."""

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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from tests.faults.attacks import ATTACKS, AUTHORIZER
from tests.support.process import ROOT, USER, Running, running
from tests.support.wait import until

TIMES = 1.5
"""How much longer than in the quiet run the others' 99th percentile may be."""
NOISE_SECONDS = 0.005
"""What two quiet runs of this machine differ by, and nobody notices."""
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


@dataclass
class Row:
    """One line of the table."""

    fault: str
    seen: dict[str, Seen]
    megabytes: float
    quiet: Row | None = None

    @property
    def p99(self) -> float:
        """Of all the others' requests together."""
        return self._together().at(0.99)

    def _together(self) -> Seen:
        return Seen([second for seen in self.seen.values() for second in seen.seconds])

    @property
    def held(self) -> bool:
        """Whether nobody noticed."""
        if any(seen.errors for seen in self.seen.values()):
            return False
        if self.quiet is None:
            return True
        slow = max(TIMES * self.quiet.p99, self.quiet.p99 + NOISE_SECONDS)
        return self.p99 <= slow and self.megabytes <= MEMORY * self.quiet.megabytes


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

    def watch(self, seconds: float) -> dict[str, Seen]:
        """What they saw in so many seconds."""
        seen = {kind: Seen() for kind in self._kinds}
        end = time.monotonic() + seconds
        threads = [
            threading.Thread(target=self._one, args=(sent, seen[kind], end)) for kind, sent in self._kinds.items()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return seen

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


def hostile_clients(folder: Path, seconds: float) -> Iterator[Row]:
    """One row for each kind of client, each beside a quiet run just before it: the machine's own mood is no attack."""
    with running(folder, "--workers", "2") as service:
        key = _minted(service)
        keys = [_minted(service, models=["gpt-4o-mini"]) for _ in range(4)]
        others = Others(service.port, key)
        others.watch(1)  # caches, imports, connections
        memory = _megabytes(service)

        def quiet() -> Row:
            return Row("none", others.watch(seconds), memory)

        for attack in ATTACKS:
            before = quiet()
            with attacking(attack, service, keys):
                others.watch(1)  # until it has built up; what it costs then counts below
                yield Row(attack, others.watch(seconds), _megabytes(service), before)
        with few_files(service):
            before = quiet()
            with attacking("silent", service, keys):
                others.watch(1)
                yield Row("file limit", others.watch(seconds), _megabytes(service), before)


@contextmanager
def attacking(attack: str, service: Running, keys: list[str]) -> Iterator[None]:
    """The attack under way, in a process of its own."""
    command = [sys.executable, "-m", "tests.faults.attacks"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps({"attack": attack, "port": service.port, "keys": keys}).encode())
        process.stdin.close()
        try:
            yield
        finally:
            process.kill()
    until(lambda: httpx.get(service.url + "/readyz").status_code == 200, what="the service is there")


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


LINE = "{:<20} {:>14} {:>14} {:>14} {:>14} {:>8} {:>8} {:>5} {:>7}"
HEAD = LINE.format(
    "hostile clients", "validate", "authorizer", "listing", "probes", "p99, all", "quiet", "MB", "errors"
)


def lines(row: Row) -> Iterator[str]:
    """The row as text: p50 and p99 of each kind in milliseconds, then what was no right answer."""
    shown = [f"{seen.at(0.5) * 1e3:.1f} / {seen.at(0.99) * 1e3:.1f}" for seen in row.seen.values()]
    errors = [text for seen in row.seen.values() for text in seen.errors]
    verdict = "" if row.held else "  NOT HELD"
    quiet = "" if row.quiet is None else f"{row.quiet.p99 * 1e3:.1f}"
    yield LINE.format(row.fault, *shown, f"{row.p99 * 1e3:.1f}", quiet, f"{row.megabytes:.0f}", len(errors)) + verdict
    yield from (f"{'':<20} {text}" for text in sorted(set(errors))[:3])
