"""Pictures of a run: true to what was kept, and readable by everybody. The document is what they give."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.pictures import __main__ as pictures
from bench.pictures import document, svg
from bench.pictures.document import DOCUMENT, FOLDER, RESULTS, files
from bench.pictures.findings import (
    Chart,
    Curve,
    Growth,
    Ratio,
    Ratios,
    Run,
    Spread,
    band,
    conditions,
    read,
    save,
    spread,
)
from tests.support.process import ROOT

SVG = "{http://www.w3.org/2000/svg}"
RATIOS = Ratios(
    "some",
    "Some & others",
    "In turns.",
    (
        Ratio("half", "of a whole", Spread(0.4, 0.5, 0.6)),
        Ratio("much", "of little", Spread(90, 100, 120)),
    ),
)
CURVES = (
    Curve("flat", ((10, Spread(1, 2, 3)), (1_000, Spread(1, 2, 3)))),
    Curve("steep", ((10, Spread(4, 5, 6)), (1_000, Spread(400, 500, 600)))),
)
GROWTH = Growth("more", "More", "Some rounds.", "things", "milliseconds", CURVES)
TENS = Growth("tens", "Tens", "Some rounds.", "things", "milliseconds", CURVES, by_tens=True)
CHARTS = [RATIOS, GROWTH, TENS]


def drawn(chart: Chart) -> ElementTree.Element:
    return ElementTree.fromstring(svg.draw(chart))


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.slug)
def test_a_chart_says_what_it_shows_to_whoever_cannot_see_it(chart: Chart) -> None:
    picture = drawn(chart)
    told = picture.findtext(f"{SVG}desc") or ""
    assert (picture.get("role"), picture.findtext(f"{SVG}title")) == ("img", chart.title)
    if isinstance(chart, Ratios):
        assert "half, of a whole: 0.5 (0.4 to 0.6) times" in told
    else:
        assert "steep: 10: 5 (4 to 6), 1k: 500 (400 to 600)" in told


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.slug)
def test_a_chart_has_colours_for_light_and_dark_and_runs_nothing(chart: Chart) -> None:
    picture, text = drawn(chart), svg.draw(chart)
    style = picture.findtext(f"{SVG}style") or ""
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    assert set(re.findall(r"--\w+(?=:)", light)) == set(re.findall(r"--\w+(?=:)", dark))
    assert not re.search(r"<script|href|url\(|@import| on\w+=", text)


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.slug)
def test_everything_stands_inside_the_picture(chart: Chart) -> None:
    picture = drawn(chart)
    width, height = (float(picture.get(side) or 0) for side in ("width", "height"))
    for dot in picture.iter(f"{SVG}circle"):
        assert 0 < float(dot.get("cx") or -1) < width
        assert 0 < float(dot.get("cy") or -1) < height
    for text in picture.iter(f"{SVG}text"):
        reach = len(text.text or "") * 6.0 * {"start": 1, "middle": 0.5, "end": 0}[text.get("text-anchor", "start")]
        assert float(text.get("x") or 0) + reach <= width, text.text


def test_a_larger_ratio_stands_further_right_and_its_band_is_its_spread() -> None:
    picture = drawn(RATIOS)
    half, much = (float(dot.get("cx") or 0) for dot in picture.iter(f"{SVG}circle"))
    assert half < much
    for middle, bar in zip((half, much), picture.iter(f"{SVG}rect[@class='f0 band']"), strict=False):
        left = float(bar.get("x") or 0)
        assert left < middle < left + float(bar.get("width") or 0)


def test_equal_values_stand_equally_high_and_tenfold_ones_a_step_apart() -> None:
    for chart in (GROWTH, TENS):
        heights = [float(dot.get("cy") or 0) for dot in drawn(chart).iter(f"{SVG}circle") if dot.get("r") == "3.5"]
        flat, steep = heights[:2], heights[2:]
        assert flat[0] == flat[1]
        assert steep[1] < steep[0] < flat[0]


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0123456, "0.0123"), (15.81, "15.8"), (33_123, "33.1k"), (1_000_000, "1M"), (500, "500")]
)
def test_numbers_are_three_digits(value: float, shown: str) -> None:
    assert svg.number(value) == shown


def test_a_spread_is_of_all_rounds_and_a_band_of_eight_tenths() -> None:
    assert spread([3, 1, 2]) == Spread(1, 2, 3)
    assert band(list(range(100))) == Spread(10, 50, 90)


def test_what_is_kept_is_read_back_and_a_suite_run_again_replaces_its_own(tmp_path: Path) -> None:
    file = tmp_path / "kept" / "run.json"
    under = conditions(quick=True, load=0.5)
    assert under["length"] == "short (--quick)"
    save((Run("a", under, (RATIOS,)), Run("b", under, (GROWTH, TENS))), file)
    again = Run("a", under | {"length": "whole"}, (RATIOS,))
    save((again,), file)
    assert read(file) == (again, Run("b", under, (GROWTH, TENS)))


def test_the_document_has_each_chart_its_numbers_and_the_conditions(tmp_path: Path) -> None:
    under = conditions(quick=False, load=0.5)
    save((Run("a", under, (RATIOS,)), Run("b", under, (GROWTH,))), tmp_path / RESULTS)
    (tmp_path / FOLDER).mkdir(parents=True)
    (tmp_path / FOLDER / "old.svg").write_text("")
    pictures.main(tmp_path)
    text = (tmp_path / DOCUMENT).read_text()
    assert sorted(file.name for file in (tmp_path / FOLDER).iterdir()) == ["more.svg", "some.svg"]
    assert "![More](performance/more.svg)" in text
    assert "| 1,000 | 2 (1 to 3) | 500 (400 to 600) |" in text
    assert "| half | of a whole | 0.5 x | 0.4 x | 0.6 x |" in text
    for value in under.values():
        assert value in text
    assert "A short run" not in text
    save((Run("b", under | {"length": "short (--quick)"}, (GROWTH,)),), tmp_path / RESULTS)
    pictures.main(tmp_path)
    assert "**A short run**" in (tmp_path / DOCUMENT).read_text()


def test_the_document_is_what_the_kept_results_give() -> None:
    """Whoever changes how charts are drawn, or runs again, runs ``make pictures``."""
    kept = read(ROOT / RESULTS)
    assert {run.suite for run in kept} == {"ratios", "growth"}
    made = files(kept)
    assert {place for place in made if (ROOT / place).read_text() != made[place]} == set()
    assert {file.relative_to(ROOT) for file in (ROOT / FOLDER).iterdir()} == made.keys() - {DOCUMENT}
    assert document.DOCUMENT.name in (ROOT / "docs" / "README.md").read_text()
