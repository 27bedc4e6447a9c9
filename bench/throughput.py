"""Validations a second, beside what the same server can do at most and what Flask alone does."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from pathlib import Path

from bench import load, services, stores
from bench.load import Load
from bench.machine import table
from bench.services import Running


def run(*, quick: bool) -> None:
    """Measure and print. Sides of one ratio are measured right after each other."""
    seconds = 1.0 if quick else 6.0
    with stores.postgres() as server, tempfile.TemporaryDirectory() as folder:
        one, many, body = (Path(folder) / name for name in ("one", "many", "body"))
        store = server.migrated()
        stores.fill(store, 5_000, many)
        one.write_text(many.read_text().splitlines()[0] + "\n")
        body.write_text(f'{{"key":"{one.read_text().strip()}"}}')
        rows: list[tuple[str, Load, float, str]] = []
        with services.ceiling() as running:
            top = _best(running, one, seconds)
            rows.append(("nothing, same server (ceiling)", top, running.memory, ""))
        with services.native_asgi() as running:
            other = _best(running, one, seconds)
            rows.append(("nothing, gunicorn's own asgi worker", other, running.memory, _ratio(other, top, "ceiling")))
        with services.maas(store) as running:
            hits = _best(running, one, seconds)
            rows.append(("cached key", hits, running.memory, _ratio(hits, top, "ceiling")))
            fresh = load.wrk(running.url, one, seconds=seconds, fresh=True)
            rows.append(("cached key, fresh connections", fresh, running.memory, _ratio(fresh, hits, "cached")))
            if shutil.which("h2load"):
                rate = hits.rate / 2
                half = load.h2load(running.url, body, requests=int(rate * seconds), clients=16, rate=rate, http1=True)
                rows.append(("cached key at half of that rate", half, running.memory, _ratio(half, hits, "cached")))
        with services.flask_gthread(store) as running:
            flask = _best(running, one, seconds)
            rows.append(
                ("cached key, Flask under gthread", flask, running.memory, f"cached is {hits.rate / flask.rate:.1f} x")
            )
        with services.maas(store, VALIDATION_CACHE_SIZE="0") as running:
            misses = _best(running, many, seconds)
            rows.append(("5,000 keys, none cached", misses, running.memory, _ratio(misses, hits, "cached")))
        with services.maas(store, tls=True) as running:
            tls = load.wrk(running.url, one, seconds=seconds)
            rows.append(("cached key, TLS, HTTP/1.1", tls, running.memory, _ratio(tls, hits, "cached")))
        if shutil.which("h2load") and importlib.util.find_spec("granian"):
            with services.granian(store) as running:
                h2 = load.h2load(running.url, body, requests=int(hits.rate * seconds / 4), clients=4)
                rows.append(("cached key, TLS, HTTP/2, Granian", h2, running.memory, _ratio(h2, hits, "cached")))
    print("\nValidations: one worker, PostgreSQL on the same machine, wrk with 64 connections\n")
    table(
        ("what", "req/s", "p50 ms", "p99 ms", "not 2xx", "RSS MB", "ratio"),
        [
            (what, f"{it.rate:,.0f}", f"{it.p50 * 1e3:.2f}", f"{it.p99 * 1e3:.2f}", str(it.failed), f"{mb:.0f}", ratio)
            for what, it, mb, ratio in rows
        ],
    )


def _best(running: Running, keys: Path, seconds: float) -> Load:
    """The better of two runs after a short one that warms everything up."""
    load.wrk(running.url, keys, seconds=min(seconds, 1))
    return max((load.wrk(running.url, keys, seconds=seconds) for _ in range(2)), key=lambda it: it.rate)


def _ratio(one: Load, other: Load, name: str) -> str:
    return f"{one.rate / other.rate:.2f} of {name}"
