"""How the lookup grows with keys, the listing with models, and validations with connections."""

from __future__ import annotations

import random
import tempfile
import time
import urllib.request
from pathlib import Path

from bench import load, services, stores
from bench.machine import table
from bench.models import listings
from bench.pictures.findings import Curve, Growth, Spread, band, spread
from maas_api.keys.format import hash_key
from maas_api.store.database import lookup_database
from maas_api.validation.reader import KeyReader

TENANT = "models-as-a-service"
_AT_REST_SECONDS = 0.01


def run(*, quick: bool) -> tuple[Growth, ...]:
    """Measure, print, and give the four charts."""
    charts = (keys(quick=quick), models(quick=quick), *connections(quick=quick))
    for chart in charts:
        print(f"\n{chart.title}: {chart.unit} by {chart.across}\n")
        rows = [
            (curve.name, f"{at:,.0f}", *(f"{value:.4g}" for value in (found.middle, found.low, found.high)))
            for curve in chart.curves
            for at, found in curve.points
        ]
        table(("what", chart.across, "median", "low", "high"), rows)
    return charts


def keys(*, quick: bool) -> Growth:
    """One lookup in tables of a thousand rows to a million, in turns, so that what else the machine does meets all."""
    sizes = (1_000, 20_000) if quick else (1_000, 10_000, 100_000, 1_000_000)
    samples, warming = (300, 50) if quick else (4_000, 100)
    with stores.postgres() as server, tempfile.TemporaryDirectory() as folder:
        sides: list[tuple[int, KeyReader, list[str], list[float]]] = []
        for size in sizes:
            url, file = server.migrated(), Path(folder) / str(size)
            stores.fill(url, size, file, known=1_000)
            hashes = [hash_key(line) or "" for line in file.read_text().split()]
            sides.append((size, KeyReader(lookup_database(url, 5.0), TENANT), hashes, []))
        for number in range(samples + warming):
            for _size, reader, hashes, took in sides:
                wanted = random.choice(hashes)
                begun = time.perf_counter()
                assert reader.fetch([wanted])[wanted].valid
                if number >= warming:
                    took.append((time.perf_counter() - begun) * 1e3)
        for _size, reader, _hashes, _took in sides:
            reader.close()
    curve = Curve("a lookup in PostgreSQL", tuple((size, band(took)) for size, _reader, _hashes, took in sides))
    note = f"A key that no cache has, {samples:,} lookups in each table, in turns."
    return Growth("keys", "The lookup, as keys grow", note, "keys in the table", "milliseconds", (curve,))


def models(*, quick: bool) -> Growth:
    """What one listing takes in the process, the sockets apart."""
    sizes = (10, 100) if quick else (10, 100, 1_000, 10_000)
    samples = 20 if quick else 200
    points: dict[str, list[tuple[float, Spread]]] = {}
    for size in sizes:
        sides, _ = listings(size)
        for name, side in sides.items():
            side()
            took = []
            for _ in range(samples):
                begun = time.perf_counter()
                side()
                took.append((time.perf_counter() - begun) * 1e6)
            points.setdefault(name, []).append((size, band(took)))
    curves = tuple(Curve(name, tuple(found)) for name, found in points.items())
    note = f"In one process, without the socket, {samples} calls of each."
    title = "GET /v1/models, as models grow"
    return Growth("models", title, note, "models listed", "microseconds a call", curves, by_tens=True)


def _at_rest(running: services.Running) -> None:
    """Until it has done with the run before, whose clients are gone and whose last questions are not: the first of the
    next run would wait for a thousand answers to nobody."""
    for _ in range(100):
        began = time.perf_counter()
        with urllib.request.urlopen(f"http://127.0.0.1:{running.port}/health", timeout=10):
            took = time.perf_counter() - began
        if took < _AT_REST_SECONDS:
            return
        time.sleep(_AT_REST_SECONDS)
    raise SystemExit(f"the server on port {running.port} does not come to rest")


def connections(*, quick: bool) -> tuple[Growth, Growth]:
    """A cached key over more and more connections."""
    counts = (1, 16) if quick else (1, 4, 16, 64, 256, 1_024)
    rounds, seconds = (1, 1.0) if quick else (4, 2.0)
    rates: dict[int, list[float]] = {count: [] for count in counts}
    slow: dict[int, list[float]] = {count: [] for count in counts}
    with stores.postgres() as server, tempfile.TemporaryDirectory() as folder:
        store, one = server.migrated(), Path(folder) / "one"
        stores.fill(store, 1, one)
        with services.maas(store) as running:
            load.wrk(running.url, one, seconds=seconds)
            for _ in range(rounds):
                for count in counts:
                    _at_rest(running)
                    came = load.wrk(running.url, one, seconds=seconds, connections=count)
                    assert came.failed == 0, came
                    rates[count].append(came.rate)
                    slow[count].append(came.p99 * 1e3)
    note = f"A cached key, one worker, wrk on the same two cores, {rounds} rounds of {seconds:g} s."
    across = "connections"
    many = Curve("a cached key", tuple((count, spread(found)) for count, found in rates.items()))
    late = Curve("p99 of a cached key", tuple((count, spread(found)) for count, found in slow.items()))
    title = "Validations, as connections grow"
    return (
        Growth("connections", title, note, across, "validations a second", (many,)),
        Growth(
            "connections-p99",
            "One in a hundred takes longer, as connections grow",
            note,
            across,
            "milliseconds",
            (late,),
            by_tens=True,
        ),
    )
