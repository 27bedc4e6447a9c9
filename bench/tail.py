"""The slowest hundredth, in many short runs by turns: what comes about in one run of ten, a median of three hides.

Every run begins with connections of its own, as a gateway's do that has just been started.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from bench import load, services, stores
from bench.machine import table

CONNECTIONS = 64
LONG_SECONDS = 0.04


def run(*, quick: bool, before: Path | None = None) -> None:
    """Measure and print. ``before``: a checkout of an earlier commit, as one more side."""
    runs, rows = 2 if quick else 30, []
    roots = {"ours": services.ROOT} if before is None else {"ours": services.ROOT, "before": before.resolve()}
    with stores.postgres() as server, tempfile.TemporaryDirectory() as folder:
        store, many, one = server.migrated(), Path(folder) / "many", Path(folder) / "one"
        stores.fill(store, 5_000, many)
        one.write_text(many.read_text().splitlines()[0] + "\n")
        for workers in (1, 2):
            for what, keys in (("one key", one), ("5,000 keys", many)):
                for name, loads in _measured(store, keys, roots, workers, runs).items():
                    rows.append((f"{what}, {workers} worker{'s' * (workers > 1)}", name, *_numbers(loads)))
    load_average = os.getloadavg()[0]
    print(f"\n{CONNECTIONS} connections, {runs} runs of 2 s a side, in turns; load of the machine {load_average:.1f}\n")
    over = f"over {LONG_SECONDS * 1e3:.0f} ms"
    table(("validate", "side", "req/s", "p50 ms", "p99 ms", "the worst p99", over, "not 2xx"), rows)


def _measured(store: str, keys: Path, roots: Mapping[str, Path], workers: int, runs: int) -> dict[str, list[load.Load]]:
    """What came of every run, by side."""
    with ExitStack() as stack:
        sides = {
            name: stack.enter_context(services.maas(store, workers=workers, root=root, ACCESS_LOG_SAMPLE="0"))
            for name, root in roots.items()
        }
        found: dict[str, list[load.Load]] = {name: [] for name in sides}
        for number in range(runs + 1):
            for name, running in sides.items():
                came = load.wrk(running.url, keys, seconds=2, connections=CONNECTIONS)
                if number:  # the first looks up what the others find remembered
                    found[name].append(came)
    return found


def _numbers(loads: list[load.Load]) -> tuple[str, ...]:
    """Medians of rate, p50 and p99, the worst p99, how many were long, and what was refused in all."""
    slowest = [one.p99 for one in loads]
    long = sum(one > LONG_SECONDS for one in slowest)
    return (
        f"{statistics.median(one.rate for one in loads):,.0f}",
        f"{statistics.median(one.p50 for one in loads) * 1e3:.2f}",
        f"{statistics.median(slowest) * 1e3:.1f}",
        f"{max(slowest) * 1e3:.1f}",
        f"{long} of {len(loads)}",
        str(sum(one.failed for one in loads)),
    )
