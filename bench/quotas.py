"""How far beyond its end a budget is spent: 64 clients, two gateways, four workers in two processes, one PostgreSQL."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench.machine import table
from bench.stores import postgres
from tests.support.metered import Wanted
from tests.support.spenders import Spent, bound, gateways

HOLD = 4_000
CALLS = (1_000, HOLD, 10_000)
COST = 2_000 + 4 * 2_000  # billionths of a dollar for a token of input and one of output


def run(*, quick: bool) -> None:
    """Spend budgets to their ends and print the table."""
    budget = 200_000 if quick else 2_000_000
    rows: list[tuple[str, ...]] = []
    with (
        postgres() as server,
        tempfile.TemporaryDirectory() as folder,
        gateways(Path(folder), server.migrated(), hold=HOLD) as site,
    ):
        for takes in CALLS:
            made = site.mint({"tokens": budget, "per": "day"})
            asked = [Wanted("chat", stream, takes // 2, takes - takes // 2) for stream in (False, True)]
            found = site.spend(made, budget, asked)
            rows.append(_row("tokens", budget, takes, HOLD, found))
        dollars = budget * 8_000
        made = site.mint({"cost": f"{dollars / 1e9:.9f}", "currency": "USD", "per": "day"})
        found = site.spend(made, dollars, [Wanted("chat", False, 500, 500)])
        rows.append(_row("billionths of a dollar", dollars, 500 * COST, HOLD * 8_000, found))
    print(f"\nA budget spent by 64 clients at once, {HOLD} tokens held for a call\n")
    table(("unit", "budget", "a call takes", "passed", "refused", "503", "spent", "beyond", "bound", "seconds"), rows)


def _row(unit: str, budget: int, takes: int, hold: int, found: Spent) -> tuple[str, ...]:
    numbers = (
        budget,
        takes,
        found.passed,
        found.refused,
        found.unanswered,
        found.used,
        found.used - budget,
        bound(budget, hold, takes),
    )
    return (unit, *(f"{number:,}" for number in numbers), f"{found.seconds:.1f}")
