"""The comparisons that decisions rest on, sides measured in turns: the median, and how far rounds lie apart."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from bench import load, services, stores
from bench.machine import table
from bench.models import listings, rate
from bench.pictures.findings import Ratio, Ratios, spread


def run(*, quick: bool) -> tuple[Ratios, ...]:
    """Measure, print, and give the two charts."""
    rounds, seconds = (2, 1.0) if quick else (7, 2.0)
    charts = (_validations(rounds, seconds), _listing(rounds, 0.1 if quick else 0.4))
    for chart in charts:
        print(f"\n{chart.title}, {rounds} rounds\n")
        rows = [
            (row.name, row.counts, *(f"{value:.2f}" for value in (row.spread.middle, row.spread.low, row.spread.high)))
            for row in chart.rows
        ]
        table(("what", "of what", "median", "lowest", "highest"), rows)
    return charts


def _validations(rounds: int, seconds: float) -> Ratios:
    """All servers stand at once, one is asked at a time."""
    with stores.postgres() as server, tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        one, many = Path(folder) / "one", Path(folder) / "many"
        store = server.migrated()
        stores.fill(store, 5_000, many)
        one.write_text(many.read_text().splitlines()[0] + "\n")
        nothing = stack.enter_context(services.ceiling())
        cached = stack.enter_context(services.maas(store))
        missed = stack.enter_context(services.maas(store, VALIDATION_CACHE_SIZE="0"))
        flask = stack.enter_context(services.flask_gthread(store))
        sides: dict[str, Callable[[], load.Load]] = {
            "nothing": lambda: load.wrk(nothing.url, one, seconds=seconds),
            "cached": lambda: load.wrk(cached.url, one, seconds=seconds),
            "fresh": lambda: load.wrk(cached.url, one, seconds=seconds, fresh=True),
            "missed": lambda: load.wrk(missed.url, many, seconds=seconds),
            "flask": lambda: load.wrk(flask.url, one, seconds=seconds),
        }
        found = _in_turns(rounds, {name: lambda ask=ask: ask().rate for name, ask in sides.items()})
    rows = (
        _ratio("a cached key, one worker", "of a handler that does nothing", found, "cached", "nothing"),
        _ratio("a cached key", "of the same in Flask under gthread", found, "cached", "flask"),
        _ratio("each on a new connection", "of a kept connection", found, "fresh", "cached"),
        _ratio("a key that no cache has", "of a cached key", found, "missed", "cached"),
    )
    note = "Validations a second, one worker, PostgreSQL on the same machine, wrk with 64 connections."
    return Ratios("validations", "Validations a second, compared", note, rows)


def _listing(rounds: int, seconds: float) -> Ratios:
    sides, _ = listings(1_000)
    found = _in_turns(rounds, {name: lambda side=side: rate(side, seconds) for name, side in sides.items()})
    plain, ready, same = sides
    rows = (
        _ratio(ready, f"of {plain}", found, ready, plain),
        _ratio(same, f"of {plain}", found, same, plain),
    )
    note = "Calls a second in one process, without the socket, of a listing of 1,000 models."
    return Ratios("listing", "GET /v1/models, compared", note, rows)


def _in_turns(rounds: int, sides: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Every side's rates, after a round that warms up and does not count."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, ask in sides.items():
            came = ask()
            if number:
                found[name].append(came)
    return found


def _ratio(name: str, counts: str, found: dict[str, list[float]], one: str, other: str) -> Ratio:
    return Ratio(name, counts, spread([a / b for a, b in zip(found[one], found[other], strict=True)]))
