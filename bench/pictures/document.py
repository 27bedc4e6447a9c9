"""docs/performance.md and its pictures, from the results that are kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.pictures.findings import Chart, Ratios, Run, Spread
from bench.pictures.svg import draw, number

RESULTS: Final = Path("bench/results/published.json")
DOCUMENT: Final = Path("docs/performance.md")
FOLDER: Final = Path("docs/performance")
_HEAD: Final = """# Performance

What `make bench` found in the last run that was kept, made of `{results}` by `make pictures`. Numbers
belong to their machine, which carries service, database and load together; how many times one side is of another, both
measured in turns, says more. A dot is the median. A band holds all rounds, or eight tenths of the samples where there
are hundreds. What follows for pods is in [sizing.md](sizing.md); the other suites print what they find.
"""


def files(runs: Sequence[Run]) -> dict[Path, str]:
    """Path -> text of everything that is made of the results."""
    drawn = {FOLDER / f"{chart.slug}.svg": draw(chart) for run in runs for chart in run.charts}
    return {DOCUMENT: _document(runs), **drawn}


def _document(runs: Sequence[Run]) -> str:
    parts = [_HEAD.format(results=RESULTS)]
    if any("--quick" in run.conditions["length"] for run in runs):
        parts.append("**A short run** (`--quick`): it says whether it works, not how fast it is.\n")
    for run in runs:
        parts += [_section(chart) for chart in run.charts]
    parts.append("## Conditions\n")
    names = list(runs[0].conditions) if runs else []
    parts.append(_table(("suite", *names), [(run.suite, *(run.conditions[name] for name in names)) for run in runs]))
    return "\n".join(parts)


def _section(chart: Chart) -> str:
    if isinstance(chart, Ratios):
        head: Sequence[str] = ("what", "of what", "median", "lowest", "highest")
        rows = [(row.name, row.counts, *_cells(row.spread, " x")) for row in chart.rows]
    else:
        head = (chart.across, *(f"{curve.name}, {chart.unit}" for curve in chart.curves))
        found = [dict(curve.points) for curve in chart.curves]
        rows = [(f"{at:,.0f}", *(_span(points[at]) for points in found)) for at, _ in chart.curves[0].points]
    picture = f"![{chart.title}]({FOLDER.name}/{chart.slug}.svg)"
    return f"## {chart.title}\n\n{picture}\n\n{chart.note}\n\n{_table(head, rows)}"


def _cells(spread: Spread, unit: str) -> tuple[str, str, str]:
    return tuple(f"{number(value)}{unit}" for value in (spread.middle, spread.low, spread.high))  # type: ignore[return-value] # three


def _span(spread: Spread) -> str:
    return f"{number(spread.middle)} ({number(spread.low)} to {number(spread.high)})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
