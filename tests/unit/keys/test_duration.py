"""Durations read and print as Go's do."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maas_api.keys import duration

HOUR, MINUTE, SECOND = duration.HOUR, duration.MINUTE, duration.SECOND


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30d", 30 * 24 * HOUR),
        ("1.5d", 36 * HOUR),
        ("-1d", -24 * HOUR),
        ("1_0d", 240 * HOUR),
        ("1e-3d", 86_400 * 10**6),
        ("1_0.2_5e0_1d", 2460 * HOUR),
        ("2h30m", 150 * MINUTE),
        ("1.5h", 90 * MINUTE),
        ("90m", 90 * MINUTE),
        ("1m1s", 61 * SECOND),
        ("+5s", 5 * SECOND),
        ("-10s", -10 * SECOND),
        (".5s", SECOND // 2),
        ("5.s", 5 * SECOND),
        ("100ms", 100_000_000),
        ("7us", 7_000),
        ("7\u00b5s", 7_000),
        ("7\u03bcs", 7_000),
        ("9ns", 9),
        ("0", 0),
        ("-0", 0),
        ("", 0),
        ("0s", 0),
    ],
)
def test_durations_that_go_reads(text: str, expected: int) -> None:
    assert duration.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *[
            "30",
            "1d12h",
            "1h30d",
            "d",
            "1__0d",
            "_1d",
            "1_d",
            "1_.5d",
            "nand",
            "infd",
            "1ed",
            "1e999999999d",
            "1e3s",
            " 1h",
            "1h ",
            "1 h",
            "h",
            "-",
            "+",
            "1hh",
        ],
        *["1x", "\u0661h", ".s", "1h\n", "999999999999h", "9" * 70 + "d"],
    ],
)
def test_durations_that_go_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        duration.parse(text)


@pytest.mark.parametrize(
    ("nanoseconds", "expected"),
    [
        (2184 * HOUR, "2184h0m0s"),
        (HOUR, "1h0m0s"),
        (2 * HOUR, "2h0m0s"),
        (61 * SECOND, "1m1s"),
        (SECOND + SECOND // 2, "1.5s"),
        (100_000_000, "100ms"),
        (1_500, "1.5\u00b5s"),
        (7, "7ns"),
        (0, "0s"),
        (-90 * MINUTE, "-1h30m0s"),
    ],
)
def test_durations_print_as_go_prints_them(nanoseconds: int, expected: str) -> None:
    assert duration.show(nanoseconds) == expected


@given(st.integers(-(2**63) + 1, 2**63 - 1))
def test_what_is_printed_reads_back(nanoseconds: int) -> None:
    assert duration.parse(duration.show(nanoseconds)) == nanoseconds


@given(st.text(max_size=80))
def test_no_text_does_worse_than_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert abs(duration.parse(text)) < 2**63


@pytest.mark.parametrize(("number", "expected"), [(1, SECOND), (0.5, SECOND // 2), (-3, -3 * SECOND), (0, 0)])
def test_numbers_are_seconds(number: float, expected: int) -> None:
    assert duration.from_seconds(number) == expected


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e300, 10**40])
def test_numbers_without_a_length_are_refused(number: float) -> None:
    with pytest.raises(ValueError, match="must"):
        duration.from_seconds(number)
