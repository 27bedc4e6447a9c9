"""What the service weighs once it watches and nobody asks: every process's share (PSS), and what models add."""

from __future__ import annotations

import contextlib
import tempfile
import time
from pathlib import Path

from bench import launch, stores
from bench.cluster import cluster
from bench.machine import processes_of, pss, table

FEW, MANY = 20, 5_000
REST_SECONDS = 2.0
"""From ready until it is weighed: first publishing, first probes are over."""


def run(*, quick: bool) -> None:
    """Measure and print."""
    many = 500 if quick else MANY
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        environ = launch.environment(Path(folder) / "bytecode")
        server = stack.enter_context(stores.postgres())
        few, lots = stack.enter_context(cluster(FEW)), stack.enter_context(cluster(many))
        database = server.migrated()
        rows = []
        sides = (
            ("gunicorn and Flask, doing nothing", "", "", 1, ""),
            ("embedded", "", "", 1, ""),
            (f"PostgreSQL and a cluster, {FEW} models", database, few.url, 1, "100"),
            (f"PostgreSQL and a cluster, {FEW} models", database, few.url, 2, "150"),
            (f"PostgreSQL and a cluster, {many:,} models", database, lots.url, 1, "40 more"),
        )
        for number, (what, url, kube, workers, bound) in enumerate(sides):
            for warm in (True, False):
                if number and warm:
                    continue  # bytecode is there after the first
                side = (
                    launch.nothing(environ)
                    if not number
                    else launch.maas(environ, database=url, cluster=kube, workers=workers)
                )
                with side as started:
                    time.sleep(REST_SECONDS)
                    shares = [pss(pid) for pid in processes_of(started.process.pid)]
            apart = " + ".join(f"{share:.0f}" for share in shares)
            rows.append((what, str(workers), f"{sum(shares):.0f}", bound, apart))
    print("\nMemory of all processes when idle, MB (PSS)\n")
    table(("what", "workers", "MB", "bound", "master + workers"), rows)
