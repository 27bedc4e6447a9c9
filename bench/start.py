"""From launch to ready: how long, what for, and beside what does nothing on the same machine in the same minute."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

from bench import launch, phases, stores
from bench.cluster import cluster
from bench.launch import Took
from bench.machine import table

MODELS = 20
NOTHING = "gunicorn and Flask, doing nothing"
EMBEDDED = "embedded, a new file"
BOUNDS = {EMBEDDED: 1.0, "PostgreSQL and a cluster": 1.5, "maas-api --help": 0.2}
"""Seconds by the clock, on a machine that has nothing else to do."""


def run(*, quick: bool) -> None:
    """Measure and print."""
    rounds = 1 if quick else 5
    with (
        tempfile.TemporaryDirectory() as folder,
        stores.postgres() as server,
        cluster(MODELS) as kube,
    ):
        environ = launch.environment(Path(folder) / "bytecode")
        migrated, again = server.migrated(), Path(folder) / "again"
        again.mkdir()

        def maas(**where: object) -> Callable[[], Took]:
            def started() -> Took:
                with launch.maas(environ, **where) as found:  # type: ignore[arg-type]  # as that takes them
                    return found.took

            return started

        def empty() -> Took:
            with launch.maas(environ, database=server.empty(), cluster=kube.url) as found:
                return found.took

        def nothing() -> Took:
            with launch.nothing(environ) as found:
                return found.took

        def compiling() -> Took:
            with launch.maas(launch.environment(None)) as found:
                return found.took

        sides: dict[str, Callable[[], Took]] = {
            "python -c pass": lambda: launch.once(environ, "-c", "pass"),
            NOTHING: nothing,
            "maas-api --help": lambda: launch.once(environ, "-m", "maas_api", "--help"),
            EMBEDDED: maas(),
            "embedded, its file is there": maas(folder=again),
            "PostgreSQL and a cluster": maas(database=migrated, cluster=kube.url),
            "the same, an empty database": empty,
            "embedded, without bytecode": compiling,
        }
        for side in sides.values():
            side()  # leaves the bytecode, fills the machine's caches
        found: dict[str, list[Took]] = {name: [] for name in sides}
        for _ in range(rounds):
            for name, side in sides.items():
                found[name].append(side())
        _told(found)
        _phases(environ, database=migrated, cluster=kube.url)
        _imports(environ, 1 if quick else 3)


def _told(found: Mapping[str, list[Took]]) -> None:
    base = Took(*(statistics.median(column) for column in zip(*found[NOTHING], strict=True)))
    rows = []
    for name, all_ in found.items():
        wall, used = (statistics.median(column) for column in zip(*all_, strict=True))
        bound = f"{BOUNDS[name]:.1f}" if name in BOUNDS else ""
        rows.append((name, f"{wall:.2f}", bound, f"{wall / base.wall:.1f}", f"{used:.2f}", f"{used / base.cpu:.1f}"))
    print(f"\nFrom launch to ready, one worker, {len(found[NOTHING])} rounds in turns, medians; {MODELS} models\n")
    table(("what", "seconds", "bound", "ratio", "CPU seconds", "ratio"), rows)


def _phases(environ: Mapping[str, str], *, database: str, cluster: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder) / "said"
        with launch.maas(
            {**environ, phases.FILE: str(said)}, program=("-m", "bench.phases"), database=database, cluster=cluster
        ) as started:
            ready = started.took
        lines = [line.split("\t") for line in said.read_text().splitlines()]
    rows, before = [], 0.0
    for what, since, used in lines:
        rows.append((what, f"{float(since):.3f}", f"{float(since) - before:.3f}", used))
        before = float(since)
    rows.append(("ready, as seen from outside", f"{ready.wall:.3f}", f"{ready.wall - before:.3f}", ""))
    print("\nWhere it goes: PostgreSQL and a cluster, one start\n")
    table(("phase", "at", "seconds", "CPU of the process so far"), rows)


def _imports(environ: Mapping[str, str], rounds: int) -> None:
    """The least that each module took in a few runs, summed by package."""
    least: dict[str, int] = {}
    for _ in range(rounds):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-c", "import gc; gc.disable(); import maas_api.server"],
            env=environ,
            cwd=launch.ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        for line in done.stderr.splitlines():
            parts = line.removeprefix("import time:").split("|")
            if len(parts) == 3 and parts[0].strip().isdigit():
                name = parts[2].strip()
                least[name] = min(least.get(name, 1 << 40), int(parts[0]))
    sums: dict[str, list[int]] = defaultdict(list)
    for name, micros in least.items():
        top = name.partition(".")[0]
        standard = top in sys.stdlib_module_names or top in ("site", "encodings")
        sums["(standard library)" if standard else top].append(micros)
    ordered = sorted(sums.items(), key=lambda item: -sum(item[1]))
    total = sum(map(sum, sums.values()))
    print(f"\nWhat is imported before the first fork: {len(least)} modules, {total / 1000:.0f} ms\n")
    rows = [(name, str(len(all_)), f"{sum(all_) / 1000:.1f}") for name, all_ in ordered[:14]]
    table(("package", "modules", "ms"), rows)
