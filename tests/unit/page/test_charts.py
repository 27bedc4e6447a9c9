"""A chart says what its numbers say."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maas_api.page import charts
from maas_api.page.charts import HEIGHT, WIDTH, Day

START = datetime(2026, 3, 1, tzinfo=UTC)
WHOLE = st.integers(0, 10**13)
CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""What is measured here is no time."""


def test_a_day_on_which_nothing_was_has_its_place() -> None:
    days = charts.days_of(START, START + timedelta(days=3), [(START + timedelta(days=1), 5, 2)])
    assert days == [Day(date(2026, 3, 1), 0, 0), Day(date(2026, 3, 2), 5, 2), Day(date(2026, 3, 3), 0, 0)]


def test_a_time_that_ends_within_a_day_shows_that_day() -> None:
    assert len(charts.days_of(START, START + timedelta(days=1, hours=5), [])) == 2


@CALM
@given(st.lists(st.tuples(WHOLE, WHOLE), min_size=1, max_size=40))
def test_bars_stay_in_the_drawing_and_are_as_long_as_their_share(counts: list[tuple[int, int]]) -> None:
    days = [Day(date(2026, 1, 1) + timedelta(days=at), *pair) for at, pair in enumerate(counts)]
    made = charts.columns(days, ("input", "output"))
    top = charts.nice(max(sum(pair) for pair in counts))
    for bar, day in zip(made.bars, days, strict=True):
        assert 0 <= bar.x <= bar.x + bar.width <= WIDTH
        assert bar.upper_y >= -0.02
        assert bar.lower_height == pytest.approx(HEIGHT * day.lower / top, abs=0.01)
        assert bar.lower_y + bar.lower_height == pytest.approx(HEIGHT, abs=0.02)
        assert bar.upper_y + bar.upper_height == pytest.approx(bar.lower_y, abs=0.02)
        assert f"{day.lower + day.upper:,}" in bar.label


@CALM
@given(WHOLE)
def test_the_scale_s_end_is_round_near_and_not_below(value: int) -> None:
    top = charts.nice(value)
    assert value <= top
    assert top <= max(10, 2.5 * value)
    assert top % 5 == 0


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (999, "999"), (1000, "1k"), (1234, "1.2k"), (128_000, "128k"), (2_500_000, "2.5M"), (10**12, "1T")],
)
def test_a_number_in_few_characters(value: int, text: str) -> None:
    assert charts.short(value) == text


def test_a_share_is_a_percentage_whatever_it_is_of() -> None:
    shares = [charts.share(1, 3), charts.share(9, 3), charts.share(-1, 3), charts.share(1, 0)]
    assert shares == [33.3, 100.0, 0.0, 0.0]
