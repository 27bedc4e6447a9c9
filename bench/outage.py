"""PostgreSQL frozen under load: what cached and uncached keys are answered, and that nothing minted is lost."""

from __future__ import annotations

import collections
import http.client
import json
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

from bench import services, stores
from bench.machine import percentile, table
from bench.revocation import CALLER
from bench.services import VALIDATE, Running


class Side:
    """One kind of request, made over and over by one thread."""

    def __init__(self, running: Running, path: str, body: Callable[[], str], headers: dict[str, str]) -> None:
        self._client = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
        self._path, self._body, self._headers = path, body, headers
        self.answers: list[tuple[float, float, str, bytes]] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish the request under way."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(0.005):
            begun = time.monotonic()
            self._client.request("POST", self._path, self._body(), self._headers)
            answer = self._client.getresponse()
            content = answer.read()
            kind = str(answer.status)
            if self._path == VALIDATE:
                kind += " empty" if not content else f" valid={json.loads(content).get('valid')}"
            self.answers.append((begun, time.monotonic() - begun, kind, content))


def run(*, quick: bool) -> None:
    """Measure and print."""
    seconds = 3.0 if quick else 20.0
    with stores.postgres() as server, tempfile.TemporaryDirectory() as folder:
        store, file = server.migrated(), Path(folder) / "keys"
        stores.fill(store, 5_000, file)
        keys = file.read_text().split()
        cached, uncached = iter(lambda: keys[0], None), iter(keys[1:])
        with services.maas(store) as running:
            sides = {
                "cached key": Side(running, VALIDATE, lambda: json.dumps({"key": next(cached)}), {}),
                "new key each time": Side(running, VALIDATE, lambda: json.dumps({"key": next(uncached, keys[0])}), {}),
                "mint": Side(running, "/v1/api-keys", lambda: '{"name":"bench"}', CALLER),
            }
            time.sleep(1)
            server.pause()
            frozen = time.monotonic()
            time.sleep(seconds)
            server.resume()
            resumed = time.monotonic()
            time.sleep(3)
            for side in sides.values():
                side.stop()
        with psycopg.connect(store) as connection:
            stored = {row[0] for row in connection.execute("SELECT id FROM api_keys WHERE name = 'bench'")}
    minted = [json.loads(content)["id"] for _at, _took, kind, content in sides["mint"].answers if kind == "201"]
    print(f"\nPostgreSQL frozen for {seconds:g} s (SIGSTOP) under load, one worker\n")
    rows = []
    for name, side in sides.items():
        for phase, low, high in (("before", 0.0, frozen), ("frozen", frozen, resumed), ("after", resumed, 1e18)):
            part = [answer for answer in side.answers if low <= answer[0] < high]
            kinds = collections.Counter(kind for _at, _took, kind, _content in part)
            took = [answer[1] for answer in part] or [float("nan")]
            shown = ", ".join(f"{count} x {kind}" for kind, count in kinds.most_common())
            rows.append((name, phase, f"{percentile(took, 99) * 1e3:.1f}", f"{max(took) * 1e3:.1f}", shown))
    table(("request", "while", "p99 ms", "max ms", "answers"), rows)
    print(f"\nminted and answered 201: {len(minted)}, of these in the database: {len(stored & set(minted))}")
