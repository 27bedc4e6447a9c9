"""Validations a second, and what one takes of the processor, beside what the same server can do and what Flask does.

On a machine that does other things too the rates move with them, and the time of the processor hardly does.
"""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench import load, services, stores
from bench.load import Load
from bench.machine import table
from bench.services import Running


class Row(NamedTuple):
    """One line of the table. ``cpu``: seconds of the processor's time that one request took."""

    load: Load
    cpu: float
    memory: float


def run(*, quick: bool) -> None:
    """Measure and print. Sides of one ratio are measured right after each other."""
    seconds = 1.0 if quick else 6.0
    with stores.postgres() as server, tempfile.TemporaryDirectory() as folder:
        one, many, body = (Path(folder) / name for name in ("one", "many", "body"))
        store = server.migrated()
        stores.fill(store, 5_000, many)
        one.write_text(many.read_text().splitlines()[0] + "\n")
        body.write_text(f'{{"key":"{one.read_text().strip()}"}}')
        rows: list[tuple[str, Row, str]] = []
        with services.ceiling() as running:
            top = _best(running, one, seconds)
            rows.append(("nothing, same server (ceiling)", top, ""))
        with services.native_asgi() as running:
            other = _best(running, one, seconds)
            rows.append(("nothing, gunicorn's own asgi worker", other, _ratio(other, top, "ceiling")))
        with services.maas(store) as running:
            hits = _best(running, one, seconds)
            rows.append(("cached key", hits, _ratio(hits, top, "ceiling")))
            fresh = _measured(running, lambda: load.wrk(running.url, one, seconds=seconds, fresh=True))
            rows.append(("cached key, fresh connections", fresh, _ratio(fresh, hits, "cached")))
            if shutil.which("h2load"):
                rate = hits.load.rate / 2
                count = int(rate * seconds)
                half = _measured(
                    running,
                    lambda: load.h2load(running.url, body, requests=count, clients=16, rate=rate, http1=True),
                )
                rows.append(("cached key at half of that rate", half, _ratio(half, hits, "cached")))
        with services.flask_gthread(store) as running:
            flask = _best(running, one, seconds)
            many_times = f"cached is {hits.load.rate / flask.load.rate:.1f} x, CPU {flask.cpu / hits.cpu:.1f} x"
            rows.append(("cached key, Flask under gthread", flask, many_times))
        with services.maas(store, VALIDATION_CACHE_SIZE="0") as running:
            misses = _best(running, many, seconds)
            rows.append(("5,000 keys, none cached", misses, _ratio(misses, hits, "cached")))
        with services.maas(store, tls=True) as running:
            tls = _measured(running, lambda: load.wrk(running.url, one, seconds=seconds))
            rows.append(("cached key, TLS, HTTP/1.1", tls, _ratio(tls, hits, "cached")))
        if shutil.which("h2load") and importlib.util.find_spec("granian"):
            with services.granian(store) as running:
                count = int(hits.load.rate * seconds / 4)
                h2 = _measured(running, lambda: load.h2load(running.url, body, requests=count, clients=4))
                rows.append(("cached key, TLS, HTTP/2, Granian", h2, _ratio(h2, hits, "cached")))
    print("\nValidations: one worker, PostgreSQL on the same machine, wrk with 64 connections\n")
    table(
        ("what", "req/s", "CPU us", "p50 ms", "p99 ms", "not 2xx", "RSS MB", "ratio of rates, of CPU"),
        [
            (
                what,
                f"{row.load.rate:,.0f}",
                f"{row.cpu * 1e6:.0f}",
                f"{row.load.p50 * 1e3:.2f}",
                f"{row.load.p99 * 1e3:.2f}",
                str(row.load.failed),
                f"{row.memory:.0f}",
                ratio,
            )
            for what, row, ratio in rows
        ],
    )


def _best(running: Running, keys: Path, seconds: float) -> Row:
    """The better of two runs after a short one that warms everything up."""
    load.wrk(running.url, keys, seconds=min(seconds, 1))
    rows = [_measured(running, lambda: load.wrk(running.url, keys, seconds=seconds)) for _ in range(2)]
    return max(rows, key=lambda row: row.load.rate)


def _measured(running: Running, apply: Callable[[], Load]) -> Row:
    before = running.cpu
    came = apply()
    return Row(came, (running.cpu - before) / came.requests, running.memory)


def _ratio(one: Row, other: Row, name: str) -> str:
    return f"{one.load.rate / other.load.rate:.2f}, {one.cpu / other.cpu:.2f} of {name}"
