"""Money is exact, and what has no price is said."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from maas_api.config import ConfigError
from maas_api.models.price import Price
from maas_api.models.sources.registry import parse
from maas_api.usage.dialects import Tokens
from maas_api.usage.pricelist import Prices, no_models, of_entries
from maas_api.usage.prices import Cost, PriceBook, shown
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
    rows = [Sum(datetime(2026, 2, 28, tzinfo=UTC), ("m",), million), Sum(at(1, 3), ("m",), million)]
    lines, total = fold(Query(at(1, 2), at(1, 4), "total"), rows, BOOK)
    assert total.cost.amounts == {"USD": Decimal("2.5"), "EUR": Decimal(3)}
    assert [line.counts.input for line in lines] == [2_000_000]


def test_amounts_are_shown_without_an_exponent() -> None:
    assert [shown(Decimal(text)) for text in ("1E+3", "0.0000001", "2.500", "0", "0E-9")] == [
        "1000", "0.0000001", "2.5", "0", "0",
    ]  # fmt: skip


def test_a_registry_entry_s_prices_hold_for_every_name_of_the_model() -> None:
    text = """
    - id: gpt-4o-mini
      provider: openai
      aliases: [mini]
      prices:
        - {input: 0.15, cachedInput: "0.075", output: 0.60, currency: USD, validFrom: 2025-01-01}
        - {input: 0.10, output: 0.40, currency: USD, validFrom: 2026-01-01}
    """
    mapped = parse(text, where="file", first_line=0, origin="ns/registry", default_created=0)
    assert mapped.problems == ()
    book = PriceBook(of_entries(mapped.entries))
    million = Tokens(1_000_000, 1_000_000, cached=1_000_000)
    for name in ("gpt-4o-mini", "mini"):
        assert book.cost(name, datetime(2025, 6, 1, tzinfo=UTC), million).amounts == {"USD": Decimal("0.675")}
        assert book.cost(name, datetime(2026, 6, 1, tzinfo=UTC), million).amounts == {"USD": Decimal("0.5")}


WRONG = [
    ("input: cheap, output: 1, currency: USD", "prices[0][input]", "must be an amount for a million tokens"),
    ("input: -1, output: 1, currency: USD", "prices[0][input]", "must be an amount for a million tokens"),
    ("input: 1, output: 1, currency: dollars", "prices[0][currency]", "must be a currency's three capital letters"),
    ("input: 1, output: 1, currency: USD, validFrom: soon", "prices[0][validFrom]", "must be a day such as"),
    ("input: 1, output: 1, currency: USD, cached: 1", "prices[0][cached]", "is not a field of a price"),
]


@pytest.mark.parametrize(("fields", "place", "rule"), WRONG)
def test_a_wrong_price_is_reported_by_its_place_and_rule(fields: str, place: str, rule: str) -> None:
    text = f"- {{id: m, provider: p, prices: [{{{fields}}}]}}"
    mapped = parse(text, where="file", first_line=0, origin="ns/registry", default_created=0)
    assert mapped.entries == ()
    assert [(problem.field, problem.rule[: len(rule)]) for problem in mapped.problems] == [(place, rule)]


def test_a_file_of_prices_counts_before_the_registry_and_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text("- {model: m, input: 1, output: 2, currency: EUR}")
    prices = Prices(no_models, file)
    taken, day = Tokens(1_000_000, 0), datetime(2026, 1, 1, tzinfo=UTC)
    assert prices().cost("m", day, taken).amounts == {"EUR": Decimal(1)}
    assert prices() is prices()
    file.write_text("- {model: m, input: 10.5, output: 2, currency: EUR}")
    assert prices().cost("m", day, taken).amounts == {"EUR": Decimal("10.5")}
    file.write_text("nonsense: [")
    assert prices().cost("m", day, taken).amounts == {"EUR": Decimal("10.5")}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: b", "must be a YAML list of prices"),
        ("- {input: 1, output: 1, currency: USD}", "entry 1: model: must be a model's id"),
        ("- {model: m, output: 1, currency: USD}", "entry 1 (m): input: Missing data for required field."),
    ],
)
def test_a_file_that_cannot_be_used_ends_the_start_in_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as fault:
        Prices(no_models, file)
    assert str(fault.value) == f"--prices-file (PRICES_FILE): {file}: {sentence}"
