"""What a request costs, beside what others take for the same: a handler that does nothing, an earlier commit, a peer.

All sides are served at once, by one process each, on one database and one cluster, and take turns within each round;
the median of the rounds counts. CPU is user and system time of all of a side's processes.
"""

from __future__ import annotations

import http.client
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from bench import load, peer, services, stores
from bench.cluster import cluster
from bench.load import Load
from bench.machine import table
from bench.models import CALLER, ask
from bench.services import Running

OURS, CEILING, BEFORE, PEER = "ours", "nothing", "before", "peer"
MODELS = 1_000
_SOURCES = {"SOURCE_SUBSCRIPTIONS": "on", "SOURCE_MAASMODELREFS": "on", "SOURCE_LLMINFERENCESERVICES": "off"}


class Asked(NamedTuple):
    """What is at hand to ask with: files of one and of many keys, and the time of one measurement."""

    one: Path
    many: Path
    seconds: float


class Row(NamedTuple):
    """One line a side. ``ask`` puts the load on. ``of``: who can be asked it. ``settings``: ours, for this row."""

    what: str
    ask: Callable[[Running, Asked], Load]
    of: Sequence[str] = (CEILING, OURS, BEFORE, PEER)
    settings: tuple[tuple[str, str], ...] = ()


class Cost(NamedTuple):
    """Of one measurement: seconds of CPU for a request, and seconds that 50 and 99 of a hundred took at most."""

    load: Load
    cpu: float


def _validate(connections: int, *, many: bool = False, fresh: bool = False) -> Callable[[Running, Asked], Load]:
    def ask_it(running: Running, asked: Asked) -> Load:
        keys = asked.many if many else asked.one
        return load.wrk(running.url, keys, seconds=asked.seconds, connections=connections, fresh=fresh)

    return ask_it


def _list(**headers: str) -> Callable[[Running, Asked], Load]:
    def ask_it(running: Running, asked: Asked) -> Load:
        named = {**CALLER, **headers}
        if "If-None-Match" in named:
            named["If-None-Match"] = _etag(running)
        url = f"http://127.0.0.1:{running.port}/v1/models"
        return load.wrk_same(url, seconds=asked.seconds, connections=4, headers=named)

    return ask_it


def _mint(running: Running, asked: Asked) -> Load:
    url = f"http://127.0.0.1:{running.port}/v1/api-keys"
    told = {**CALLER, "Content-Type": "application/json"}
    body = '{"name":"bench"}'
    return load.wrk_same(url, seconds=asked.seconds, connections=4, method="POST", headers=told, body=body)


_LOGGED = (("LOG_LEVEL", "info"), ("ACCESS_LOG_SAMPLE", "1"))
_UNREMEMBERED = (("VALIDATION_CACHE_SIZE", "0"),)
ROWS = (
    Row("validate, one key, c=16", _validate(16)),
    Row("validate, one key, c=64", _validate(64)),
    Row("validate, 5,000 keys, c=1", _validate(1, many=True)),
    Row("validate, 5,000 keys, c=64", _validate(64, many=True)),
    Row("validate, fresh connections, c=16", _validate(16, fresh=True)),
    Row("GET /v1/models", _list()),
    Row("GET /v1/models, gzip", _list(**{"Accept-Encoding": "gzip"})),
    Row("GET /v1/models, 304", _list(**{"If-None-Match": ""}), (OURS, BEFORE)),
    Row("mint", _mint),
    Row("every request logged, c=16", _validate(16), (OURS, BEFORE, PEER), _LOGGED),
    Row("5,000 keys, none remembered, c=1", _validate(1, many=True), (OURS, BEFORE, PEER), _UNREMEMBERED),
    Row("5,000 keys, none remembered, c=64", _validate(64, many=True), (OURS, BEFORE, PEER), _UNREMEMBERED),
)


def run(*, quick: bool, before: Path | None = None, other: Path | None = None) -> None:
    """Measure and print. ``before``: a checkout of an earlier commit, ``other``: one of the Go service."""
    rounds, seconds = (1, 1.0) if quick else (3, 2.0)
    with tempfile.TemporaryDirectory() as made, stores.postgres() as server:
        folder = Path(made)
        asked = Asked(folder / "one", folder / "many", seconds)
        program = None if other is None else peer.build(other.resolve(), folder)
        store = server.migrated()
        stores.fill(store, 5_000, asked.many)
        asked.one.write_text(asked.many.read_text().splitlines()[0] + "\n")
        with cluster(MODELS, store) as kube:
            config = folder / "kubeconfig"
            kube.write_config(config)
            found: dict[str, dict[str, list[Cost]]] = {}
            for settings in dict.fromkeys(row.settings for row in ROWS):
                rows = [row for row in ROWS if row.settings == settings]
                with serving(store, config, dict(settings), before, program) as sides:
                    found |= measured(rows, sides, asked, rounds)
    _print(found)


@contextmanager
def serving(
    store: str, config: Path, settings: dict[str, str], before: Path | None, program: Path | None
) -> Iterator[dict[str, Running]]:
    """Every side there is, each with its catalog read."""
    more = {**_SOURCES, "KUBERNETES": "on", "KUBECONFIG": str(config), "ACCESS_LOG_SAMPLE": "0", **settings}
    with ExitStack() as stack:
        sides = {CEILING: stack.enter_context(services.ceiling())}
        sides[OURS] = stack.enter_context(services.maas(store, **more))
        if before is not None:
            sides[BEFORE] = stack.enter_context(services.maas(store, root=before.resolve(), **more))
        if program is not None:
            sides[PEER] = stack.enter_context(peer.serving(program, config))
        for side in sides.values():
            _listed(side)
        yield sides


def measured(
    rows: Sequence[Row], sides: dict[str, Running], asked: Asked, rounds: int
) -> dict[str, dict[str, list[Cost]]]:
    """Costs by row and side, one a round. Where there are several, a short one before warms everything up."""
    found: dict[str, dict[str, list[Cost]]] = {row.what: {} for row in rows}
    for number in range(0 if rounds > 1 else 1, rounds + 1):
        for row in rows:
            for name in row.of:
                if name not in sides:
                    continue
                running = sides[name]
                began = running.cpu
                came = row.ask(running, asked if number else asked._replace(seconds=1.0))
                if number:
                    cost = Cost(came, (running.cpu - began) / max(1, came.requests))
                    found[row.what].setdefault(name, []).append(cost)
    return found


def _print(found: dict[str, dict[str, list[Cost]]]) -> None:
    print(f"\nOne worker, PostgreSQL and a cluster of {MODELS:,} models watched, all sides served at once, in turns")
    print(f"load of the machine {os.getloadavg()[0]:.1f}\n")
    rows = []
    for what, sides in found.items():
        middle = {name: _middle(costs) for name, costs in sides.items()}
        for name, (rate, cpu, p50, p99, failed) in middle.items():
            others = [other for other in (CEILING, BEFORE, PEER) if name == OURS and other in middle]
            ratios = [f"{other} {cpu / middle[other][1]:.2f}, {p99 / middle[other][3]:.2f}" for other in others]
            numbers = (f"{rate:,.0f}", f"{cpu * 1e6:,.0f}", f"{p50 * 1e3:.2f}", f"{p99 * 1e3:.2f}", str(failed))
            rows.append((what if name == next(iter(middle)) else "", name, *numbers, "; ".join(ratios)))
    table(("what", "side", "req/s", "CPU us", "p50 ms", "p99 ms", "not 2xx", "ours: of CPU, of p99"), rows)


def _middle(costs: Sequence[Cost]) -> tuple[float, float, float, float, int]:
    """Medians of rate, CPU, p50 and p99, and how many were refused in all."""
    loads = [cost.load for cost in costs]
    return (
        statistics.median(one.rate for one in loads),
        statistics.median(cost.cpu for cost in costs),
        statistics.median(one.p50 for one in loads),
        statistics.median(one.p99 for one in loads),
        sum(one.failed for one in loads),
    )


def _listed(side: Running) -> None:
    """Until the models are there."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if _answer(side)[0] == 200:
            return
        time.sleep(0.2)
    raise SystemExit(f"the server on port {side.port} lists no models")


def _etag(side: Running) -> str:
    return _answer(side)[1].get("etag", "*")


def _answer(side: Running) -> tuple[int, dict[str, str], bytes]:
    client = http.client.HTTPConnection("127.0.0.1", side.port, timeout=10)
    try:
        return ask(client, "GET", "/v1/models", CALLER)
    finally:
        client.close()
