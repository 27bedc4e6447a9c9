"""Times and amounts as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from maas_api.page import words

NOW = datetime(2026, 3, 15, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("away", "text"),
    [
        (timedelta(days=3, hours=2), "in 3 days"),
        (timedelta(days=-1), "1 day ago"),
        (timedelta(minutes=-90), "1 hour ago"),
        (timedelta(seconds=-20), "just now"),
        (timedelta(seconds=20), "in a moment"),
        (timedelta(days=800), "in 2 years"),
        (timedelta(days=-45), "1 month ago"),
    ],
)
def test_how_far_a_moment_is(away: timedelta, text: str) -> None:
    assert words.distance(NOW + away, NOW) == text


@pytest.mark.parametrize(
    ("amounts", "text"),
    [
        ({}, ""),
        ({"USD": "1234.5"}, "1,234.50 USD"),
        ({"USD": "0.0123"}, "0.0123 USD"),
        ({"USD": "0.5"}, "0.5000 USD"),
        ({"USD": "0.00001"}, "<0.0001 USD"),
        ({"USD": "2", "EUR": "0"}, "0.00 EUR + 2.00 USD"),
    ],
)
def test_money(amounts: dict[str, str], text: str) -> None:
    assert words.money({currency: Decimal(amount) for currency, amount in amounts.items()}) == text


def test_moments_are_told_in_utc() -> None:
    assert words.moment(NOW) == "2026-03-15 12:00 UTC"
    assert words.iso(NOW) == "2026-03-15T12:00:00Z"


@pytest.mark.parametrize(
    ("value", "text"), [("3", "3.00"), ("0.6", "0.60"), ("0.150", "0.15"), ("0.0375", "0.0375"), ("100", "100.00")]
)
def test_a_price_is_exact(value: str, text: str) -> None:
    assert words.price(Decimal(value)) == text
