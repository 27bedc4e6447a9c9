"""Workers are killed and the database stops: what was acknowledged is counted, once, and nothing else is."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psycopg

from tests.support import otlp
from tests.support.otlp import batch, call
from tests.support.postgres import PostgresServer
from tests.support.process import running
from tests.support.wait import until

PATH = "/internal/v1/usage"
SENDERS, BATCHES, RECORDS = 8, 40, 25
_SECRET = "a-shared-secret-of-the-test"


def test_batches_that_are_sent_until_they_are_acknowledged_are_counted_once(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    """As a collector sends: the same bytes again until there is a 200, whatever became of the answers before."""
    url = postgres.migrated()
    (tmp_path / "secret").write_text(_SECRET)
    over, trouble, acknowledged = threading.Event(), {"killed": 0, "sent again": 0}, [0] * SENDERS
    flags = ("--workers", "2", "--database-url", url, "--internal-secret-file", str(tmp_path / "secret"))
    with running(tmp_path, *flags) as service:

        def send(number: int) -> None:
            for turn in range(BATCHES):
                body = batch([call(user=f"sender-{number}")] * RECORDS, at=time.time())
                headers = {**otlp.HEADERS, "X-MaaS-Internal-Secret": _SECRET, "X-Batch": str(turn)}
                while True:
                    try:
                        answer = httpx.post(service.url + PATH, content=body, headers=headers, timeout=20)
                    except httpx.TransportError:
                        trouble["sent again"] += 1
                        continue
                    if answer.status_code == 200:
                        acknowledged[number] += 1
                        break
                    assert answer.status_code in (500, 503), answer.text
                    trouble["sent again"] += 1
                    over.wait(0.05)

        def kill() -> None:
            """Now and then, but not faster than a new worker gets to work on a slow machine."""
            seen = -1
            while not over.wait(0.5):
                if sum(acknowledged) == seen:
                    continue
                seen = sum(acknowledged)
                for pid in service.workers()[:1]:
                    os.kill(pid, signal.SIGKILL)
                    trouble["killed"] += 1

        def stop() -> None:
            over.wait(1.5)
            postgres.halt()
            over.wait(1.5)
            postgres.run()

        others = [threading.Thread(target=kill), threading.Thread(target=stop)]
        for other in others:
            other.start()
        with ThreadPoolExecutor(SENDERS) as pool:
            list(pool.map(send, range(SENDERS)))
        others[1].join(30)
        over.set()
        others[0].join(30)
        until(lambda: len(service.workers()) == 2, what="two workers serve again", seconds=30)
    assert trouble["killed"] >= 2
    assert trouble["sent again"] >= 1
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT username, sum(requests), sum(input) FROM maas_usage GROUP BY 1").fetchall()
    expected = BATCHES * RECORDS
    assert {user: (int(calls), int(tokens)) for user, calls, tokens in rows} == {
        f"sender-{number}": (expected, expected * 10) for number in range(SENDERS)
    }
