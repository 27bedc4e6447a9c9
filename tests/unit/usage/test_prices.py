"""Money is exact, and what has no price is said."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

from maas_api.usage.dialects import Tokens
from maas_api.usage.prices import Cost, Price, PriceBook, shown
from maas_api.usage.query import Query
from maas_api.usage.record import Counts
from maas_api.usage.report import Sum, fold


def price(text: str, since: date, *, currency: str = "USD") -> Price:
    given, out, cached, written = map(Decimal, text.split())
    return Price(given, out, cached, written, currency, since)


BOOK = PriceBook(
    {"m": [price("2.50 10 1.25 2.5", date(2026, 1, 1)), price("3 12 0.3 3.75", date(2026, 3, 1), currency="EUR")]}
)


def at(day: int, month: int = 1) -> datetime:
    return datetime(2026, month, day, tzinfo=UTC)


def test_each_part_has_its_price() -> None:
    cost = BOOK.cost("m", at(1), Tokens(input=1_000, output=10, cached=400, written=0))
    assert cost == Cost({"USD": Decimal("0.0001") + Decimal("0.0005") + Decimal("0.0015")}, 0)
    written = BOOK.cost("m", at(1, 3), Tokens(input=1_000_000, output=0, written=1_000_000))
    assert written.amounts == {"EUR": Decimal("3.75")}


def test_reasoning_tokens_are_paid_as_the_output_they_are_part_of() -> None:
    assert BOOK.cost("m", at(1), Tokens(0, 100, reasoning=90)) == BOOK.cost("m", at(1), Tokens(0, 100))


def test_the_newest_price_that_has_begun_counts() -> None:
    taken = Tokens(1_000_000, 0)
    assert BOOK.cost("m", datetime(2026, 2, 28, 23, tzinfo=UTC), taken).amounts == {"USD": Decimal("2.5")}
    assert BOOK.cost("m", at(1, 3), taken).amounts == {"EUR": Decimal(3)}


def test_tokens_without_a_price_are_said_and_are_not_free() -> None:
    assert BOOK.cost("m", datetime(2025, 12, 31, tzinfo=UTC), Tokens(7, 3)) == Cost({}, 10)
    assert BOOK.cost("other", at(1), Tokens(7, 3)) == Cost({}, 10)


def test_a_month_over_a_change_of_prices_is_charged_day_by_day() -> None:
    million = Counts(requests=1, input=1_000_000)
    rows = [Sum(datetime(2026, 2, 28, tzinfo=UTC), {"model": "m"}, million), Sum(at(1, 3), {"model": "m"}, million)]
    lines, total = fold(Query(at(1, 2), at(1, 4), "total"), rows, BOOK)
    assert total.cost.amounts == {"USD": Decimal("2.5"), "EUR": Decimal(3)}
    assert [line.counts.input for line in lines] == [2_000_000]


def test_amounts_are_shown_without_an_exponent() -> None:
    assert [shown(Decimal(text)) for text in ("1E+3", "0.0000001", "2.500", "0", "0E-9")] == [
        "1000", "0.0000001", "2.5", "0", "0",
    ]  # fmt: skip
