"""Charts as SVG, for a document: no script, no font of their own, and colours that follow light and dark.

Each has a title and a description for whoever cannot see it; the numbers also stand beside each chart in the document.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final
from xml.sax.saxutils import escape

from bench.pictures.findings import Chart, Growth, Ratios, Spread

WIDTH: Final = 760
_LEFT: Final = 64
_RIGHT: Final = 24
_TOP: Final = 66
_HEIGHT: Final = 240  # of the plot of a growth
_ROW: Final = 44
_NAMES: Final = 330  # for the names of comparisons
_LETTER: Final = 7.2  # about as wide as one is
_STYLE: Final = """
svg { --paper: #fff; --ink: #1d2430; --faint: #5b6472; --line: #dfe3e8; }
svg { --c0: #0b62c4; --c1: #a84a00; --c2: #2c7a3f; }
@media (prefers-color-scheme: dark) {
  svg { --paper: #14181f; --ink: #e6e9ee; --faint: #a3adba; --line: #333b47; }
  svg { --c0: #6bb0ff; --c1: #ffa15c; --c2: #78cf8c; }
}
text { font: 13px system-ui, sans-serif; fill: var(--ink); } .faint { fill: var(--faint); font-size: 12px; }
.title { font-size: 16px; font-weight: 600; } .paper { fill: var(--paper); } .grid { stroke: var(--line); }
.one { stroke: var(--faint); stroke-dasharray: 4 3; } .line { fill: none; stroke-width: 2; } .band { opacity: .18; }
.s0 { stroke: var(--c0); } .s1 { stroke: var(--c1); } .s2 { stroke: var(--c2); }
.f0 { fill: var(--c0); } .f1 { fill: var(--c1); } .f2 { fill: var(--c2); }
"""


def draw(chart: Chart) -> str:
    """The whole file."""
    return _ratios(chart) if isinstance(chart, Ratios) else _growth(chart)


def number(value: float) -> str:
    """Three digits that say something: ``0.0123``, ``15.8``, ``33.1k``."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _frame(height: float, title: str, about: str, parts: Sequence[str]) -> str:
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" '
            f'height="{height:g}" role="img" aria-labelledby="title about">',
            f'<title id="title">{escape(title)}</title>',
            f'<desc id="about">{escape(about)}</desc>',
            f"<style>{_STYLE}</style>",
            f'<rect class="paper" width="{WIDTH}" height="{height:g}" rx="8"/>',
            f'<text class="title" x="24" y="32">{escape(title)}</text>',
            *parts,
            "</svg>\n",
        )
    )


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    marked = f' class="{kind}"' if kind else ""
    return f'<text{marked} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


# -- comparisons


def _ratios(chart: Ratios) -> str:
    bottom = _TOP + _ROW * len(chart.rows)
    low = min(0.5, *(row.spread.low for row in chart.rows))
    high = max(2.0, *(row.spread.high for row in chart.rows))
    across = _by_tens(low, high * 1.15, _NAMES, WIDTH - _RIGHT - 56)
    parts = []
    for tick in _tens(low, high, 4):
        x = across(tick)
        parts += [_line(x, _TOP - 8, x, bottom, "one" if tick == 1 else "grid")]
        parts += [_text(x, bottom + 18, f"{number(tick)} x", "faint", "middle")]
    for at, row in enumerate(chart.rows):
        y = _TOP + _ROW * at + 14
        left, middle, right = (across(value) for value in (row.spread.low, row.spread.middle, row.spread.high))
        parts += [
            _text(24, y + 1, row.name),
            _text(24, y + 17, row.counts, "faint"),
            f'<rect class="f0 band" x="{left:.1f}" y="{y - 5:.1f}" width="{max(2.0, right - left):.1f}" height="14"/>',
            f'<circle class="f0" cx="{middle:.1f}" cy="{y + 2:.1f}" r="5"/>',
            _text(max(right, middle + 5) + 8, y + 6, f"{number(row.spread.middle)} x"),
        ]
    told = "; ".join(f"{row.name}, {row.counts}: {_told(row.spread)} times" for row in chart.rows)
    return _frame(bottom + 34, chart.title, f"{told}.", parts)


# -- growth


def _growth(chart: Growth) -> str:
    values = [value for curve in chart.curves for _, value in curve.points]
    counts = sorted({at for curve in chart.curves for at, _ in curve.points})
    right, bottom = WIDTH - _RIGHT, _TOP + 22 + _HEIGHT
    across = _by_tens(counts[0], counts[-1], _LEFT + 10, right - 10)
    highest, lowest = max(value.high for value in values), min(value.low for value in values)
    if chart.by_tens:
        up, ticks = _by_tens(lowest / 1.3, highest * 1.3, bottom, _TOP + 22), _tens(lowest / 1.3, highest * 1.3, 5)
    else:
        step = _step(highest / 4)
        top = step * math.ceil(highest / step)
        up, ticks = _linear(0, top, bottom, _TOP + 22), [step * at for at in range(round(top / step) + 1)]
    parts = [_text(24, 53, chart.unit, "faint")]
    for tick in ticks:
        parts += [
            _line(_LEFT, up(tick), right, up(tick), "grid"),
            _text(_LEFT - 8, up(tick) + 4, number(tick), "faint", "end"),
        ]
    parts += [_text(across(at), bottom + 18, number(at), "faint", "middle") for at in counts]
    parts += [_text((_LEFT + right) / 2, bottom + 36, chart.across, "faint", "middle")]
    legend = right - sum(len(curve.name) * _LETTER + 34 for curve in chart.curves) + 12
    for at, curve in enumerate(chart.curves):
        parts += _curve(curve.points, at, across, up)
        parts += [f'<circle class="f{at}" cx="{legend:.1f}" cy="48" r="5"/>', _text(legend + 10, 53, curve.name)]
        legend += len(curve.name) * _LETTER + 34
    told = "; ".join(
        f"{curve.name}: " + ", ".join(f"{number(at)}: {_told(value)}" for at, value in curve.points)
        for curve in chart.curves
    )
    return _frame(bottom + 52, chart.title, f"{chart.unit} by {chart.across}. {told}.", parts)


def _curve(
    points: Sequence[tuple[float, Spread]], at: int, across: Callable[[float], float], up: Callable[[float], float]
) -> list[str]:
    over = [f"{across(x):.1f},{up(value.high):.1f}" for x, value in points]
    under = [f"{across(x):.1f},{up(value.low):.1f}" for x, value in reversed(points)]
    middle = [(across(x), up(value.middle)) for x, value in points]
    return [
        f'<polygon class="f{at} band" points="{" ".join(over + under)}"/>',
        f'<polyline class="line s{at}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in middle)}"/>',
        *(f'<circle class="f{at}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>' for x, y in middle),
    ]


# -- scales


def _linear(first: float, last: float, start: float, end: float) -> Callable[[float], float]:
    return lambda value: start + (end - start) * (value - first) / (last - first)


def _by_tens(first: float, last: float, start: float, end: float) -> Callable[[float], float]:
    scale = _linear(math.log10(first), math.log10(last), start, end)
    return lambda value: scale(math.log10(value))


def _tens(low: float, high: float, wanted: int) -> list[float]:
    """Round numbers between two, each a step of ten, or of two and five where there are too few."""
    whole = [10.0**power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    fine = [float(f"{part * ten:.3g}") for ten in whole for part in (1, 2, 5)]
    for choice in (whole, fine):
        found = [value for value in choice if low <= value <= high]
        if len(found) >= wanted:
            return found
    return found


def _step(least: float) -> float:
    ten = 10.0 ** math.floor(math.log10(least))
    return next(part * ten for part in (1, 2, 2.5, 5, 10) if part * ten >= least)


def _told(spread: Spread) -> str:
    return f"{number(spread.middle)} ({number(spread.low)} to {number(spread.high)})"
