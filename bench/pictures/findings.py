"""What a suite found, beside what it prints: comparisons with their spread, and how something grows. Kept as JSON.

A suite's findings carry the conditions they were made under, so a run can be made in pieces, each with its own.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.machine import percentile

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Spread:
    """A value's lowest, middle and highest of some rounds or samples."""

    low: float
    middle: float
    high: float


@dataclass(frozen=True)
class Ratio:
    """Two sides measured in turns: how many times the first is of the second. ``counts``: of what, in words."""

    name: str
    counts: str
    spread: Spread


@dataclass(frozen=True)
class Ratios:
    """A chart of comparisons. ``slug`` names its file, ``note`` says how it was measured."""

    slug: str
    title: str
    note: str
    rows: tuple[Ratio, ...]


@dataclass(frozen=True)
class Curve:
    """How one thing grows: (how many, what it came to)."""

    name: str
    points: tuple[tuple[float, Spread], ...]


@dataclass(frozen=True)
class Growth:
    """A chart of curves over how many there are. ``across`` and ``unit`` name the axes; ``by_tens``: the values span
    more than a linear axis can show."""

    slug: str
    title: str
    note: str
    across: str
    unit: str
    curves: tuple[Curve, ...]
    by_tens: bool = False


Chart = Ratios | Growth


@dataclass(frozen=True)
class Run:
    """One suite's charts and the conditions they came from."""

    suite: str
    conditions: dict[str, str]
    charts: tuple[Chart, ...]


def spread(values: Sequence[float]) -> Spread:
    """Of rounds, of which there are few: all of them count."""
    return Spread(min(values), percentile(values, 50), max(values))


def band(values: Sequence[float]) -> Spread:
    """Of samples, of which there are many: the middle eight tenths."""
    return Spread(percentile(values, 10), percentile(values, 50), percentile(values, 90))


def conditions(*, quick: bool, load: float) -> dict[str, str]:
    """Of the machine and the code, now; ``load``: the machine's when the suite began."""
    processor = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), ":")
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "commit": _git("rev-parse", "--short=10", "HEAD")
        + (" with changes" if _git("status", "--porcelain", "maas_api", "requirements") else ""),
        "processor": f"{os.cpu_count()} cores, {processor.partition(':')[2].strip() or 'unknown'}",
        "system": f"Linux {platform.release()}, Python {platform.python_version()}",
        "load": f"{load:.1f} at the start, {os.getloadavg()[0]:.1f} at the end",
        "length": "short (--quick)" if quick else "whole",
    }


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def save(runs: Sequence[Run], file: Path) -> None:
    """Put the runs into the file; those of the same suites that were there make room."""
    kept = {run.suite: run for run in (read(file) if file.exists() else ())} | {run.suite: run for run in runs}
    file.parent.mkdir(parents=True, exist_ok=True)
    made = [asdict(kept[name]) for name in sorted(kept)]
    file.write_text(json.dumps(made, indent=1, default=_rounded) + "\n")


def read(file: Path) -> tuple[Run, ...]:
    """The runs in a file."""
    found: list[dict[str, Any]] = json.loads(file.read_text())
    return tuple(Run(run["suite"], run["conditions"], tuple(map(_chart, run["charts"]))) for run in found)


def _chart(found: dict[str, Any]) -> Chart:
    if "rows" in found:
        rows = tuple(Ratio(**row | {"spread": Spread(**row["spread"])}) for row in found["rows"])
        return Ratios(**found | {"rows": rows})
    curves = tuple(
        Curve(curve["name"], tuple((at, Spread(**value)) for at, value in curve["points"])) for curve in found["curves"]
    )
    return Growth(**found | {"curves": curves})


def _rounded(value: object) -> str:
    raise TypeError(f"{value!r} is nothing to keep")
