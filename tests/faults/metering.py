"""Metering under faults: a worker killed every second, PostgreSQL stopped for ten, calls through Envoy all along."""

from __future__ import annotations

import os
import random
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg

from tests.support.metered import Wanted
from tests.support.postgres import PostgresServer
from tests.support.spenders import Gateways, gateways
from tests.support.wait import until

CLIENTS = 8
TAKES = 100  # tokens of each call
_PASSED = re.compile(r"cluster\.external/[^.]+\.upstream_rq_completed")
HEAD = (
    f"{'metering':<34} {'calls':>7} {'gateway':>8} {'counted':>8} {'lost':>6} {'given up':>9} {'again':>6}"
    "  what clients saw"
)


@dataclass
class Row:
    """One line of the table. ``calls`` were answered 200, ``passed`` is how many the gateway says it led to a model,
    ``given_up`` how many batches of records it says it could not deliver, ``again`` how many it sent again."""

    fault: str
    loses: bool = False
    calls: int = 0
    passed: int = 0
    counted: int = 0
    tokens: int = 0
    given_up: int = 0
    again: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    undeclared: list[str] = field(default_factory=list)

    @property
    def lost(self) -> int:
        """Calls that nobody counted, by the gateway's own numbers."""
        return self.passed - self.counted

    @property
    def held(self) -> bool:
        """Whether nothing was counted twice, and nothing is missing but what the gateway gave up."""
        exact = self.tokens == self.counted * TAKES and self.passed == self.calls
        whole = self.lost > 0 and self.given_up > 0 if self.loses else self.lost == self.given_up == 0
        return exact and whole and not self.undeclared

    def text(self) -> str:
        """The line."""
        seen = ", ".join(f"{kind} x{count}" for kind, count in sorted(self.seen.items()))
        numbers = (
            f"{self.calls:>7} {self.passed:>8} {self.counted:>8} {self.lost:>6} {self.given_up:>9} {self.again:>6}"
        )
        wrong = "".join(f"\n{'':<34} UNDECLARED {text}" for text in sorted(set(self.undeclared))[:3])
        return f"{self.fault:<34} {numbers}  {seen}{wrong}"


def metering(folder: Path, *, seconds: float = 20.0, stopped: float = 10.0) -> Iterator[Row]:
    """Without a fault, with each, with both at once for ``seconds``; and with one that lasts longer than records are
    repeated."""
    with ExitStack() as stack:
        server = PostgresServer()
        stack.callback(server.stop)
        with psycopg.connect(server.url("postgres"), autocommit=True) as admin:  # tests turn it off; here it must count
            admin.execute("ALTER SYSTEM SET synchronous_commit = on")
            admin.execute("SELECT pg_reload_conf()")

        def kill(site: Gateways, over: threading.Event) -> None:
            while not over.wait(1.0):
                with suppress(ProcessLookupError, IndexError):
                    os.kill(random.choice(site.services[0].workers()), signal.SIGKILL)

        def stop(_site: Gateways, over: threading.Event) -> None:
            over.wait(seconds / 4)
            server.halt()
            threading.Event().wait(stopped)
            server.run()

        for repeat_seconds in (60, 4):
            place = folder / str(repeat_seconds)
            place.mkdir(parents=True)
            with gateways(place, server.migrated(), hold=TAKES, count=1, repeat_seconds=repeat_seconds) as site:
                if repeat_seconds < stopped:
                    yield _run(f"the same, repeated for {repeat_seconds} s", site, (stop,), seconds, loses=True)
                    continue
                yield _run("none", site, (), seconds / 4)
                yield _run("kill a worker every second", site, (kill,), seconds)
                yield _run(f"stop PostgreSQL for {stopped:g} s", site, (stop,), seconds)
                yield _run("both at once", site, (kill, stop), seconds)


Fault = Callable[[Gateways, threading.Event], None]


def _run(name: str, site: Gateways, faults: tuple[Fault, ...], seconds: float, *, loses: bool = False) -> Row:
    row, over, lock = Row(name, loses), threading.Event(), threading.Lock()
    made = site.mint()
    before = _numbers(site)

    def client(number: int) -> None:
        asked = [Wanted(kind, stream, 60, TAKES - 60) for kind in ("chat", "responses") for stream in (False, True)]
        turn = number
        with httpx.Client(trust_env=False, timeout=30) as http:
            while not over.is_set():
                turn += 1
                try:
                    found = site.call(http, 0, made["key"], asked[turn % len(asked)])
                except httpx.TransportError as fault:
                    with lock:
                        row.undeclared.append(repr(fault)[:80])
                    continue
                with lock:
                    row.seen[str(found.status_code)] += 1
                    row.calls += found.status_code == 200
                    if found.status_code not in (200, 503):
                        row.undeclared.append(f"{found.status_code} {found.text[:80]}")
                over.wait(0.01 if found.status_code == 200 else 0.1)

    threads = [threading.Thread(target=fault, args=(site, over)) for fault in faults]
    with ThreadPoolExecutor(CLIENTS) as pool:
        running = [pool.submit(client, number) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        over.set()
        for one in running:
            one.result()
    for thread in threads:
        thread.join()
    _settle(site, made["id"], row, before)
    return row


def _settle(site: Gateways, key_id: str, row: Row, before: tuple[int, int, int]) -> None:
    """Wait until every call is counted, or the gateway has given its record up."""

    def done() -> bool:
        now = _numbers(site)
        row.passed, row.given_up, row.again = (after - was for after, was in zip(now, before, strict=True))
        try:
            total = site.counted(key_id)
        except (httpx.HTTPError, AssertionError):
            return False
        row.counted, row.tokens = total["requests"], total["totalTokens"]
        return row.counted >= row.calls

    with suppress(AssertionError):  # then the row says what is missing
        until(done, what="every record has arrived", seconds=15 if row.loses else 90)
    time.sleep(1.5)  # one more beat of the gateway's log: nothing may come twice
    done()


def _numbers(site: Gateways) -> tuple[int, int, int]:
    """What the gateway says of itself: calls led to a model, batches given up, batches sent again."""
    found = site.envoys[0].statistics("upstream_rq_completed|usage-repeater|upstream_rq_retry$")
    passed = sum(int(value) for name, value in found.items() if _PASSED.fullmatch(name))
    given_up = int(found.get("http.usage-repeater.downstream_rq_5xx", 0))
    return passed, given_up, int(found.get("cluster.maas-api-authority.upstream_rq_retry", 0))
