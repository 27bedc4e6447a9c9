"""Budgets in money, and the limits of subscriptions, over several workers and one store."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import sqlalchemy as sa

from maas_api.keys.budget import Budget
from maas_api.store.database import Database
from maas_api.subscriptions.model import TokenRateLimit
from maas_api.usage.budgets.decisions import Granted, Spent, Unpriced
from maas_api.usage.budgets.spending import Spending
from maas_api.usage.prices import PriceBook
from maas_api.usage.record import holder
from maas_api.usage.statements.holds import Bank, state_of
from maas_api.usage.statements.ledger import Ledger
from tests.support.clock import Clock
from tests.support.payers import HOLD, PRICE, TENANT, ask, spend, workers
from tests.support.wait import until

DOLLAR = 1_000_000_000
PER_TOKEN = 2_000
"""Billionths of a dollar that a token of input costs; one of output, the dearest, costs four times that."""


def test_money_is_spent_at_the_model_s_price_and_then_refused(database: Database) -> None:
    cost = HOLD * 4 * PER_TOKEN  # what is held for a call, and here what it takes
    clock, budgets = Clock(), (Budget(2 * cost, "day", "USD"),)
    with workers(database, clock) as (one,):
        for _ in range(2):
            granted = ask(one, budgets)
            assert isinstance(granted, Granted)
            assert granted.hold is not None
            assert (granted.hold.tokens, granted.hold.cost) == (0, cost)
            spend(database, clock, granted, 4 * HOLD)
        assert ask(one, budgets) == Spent(budgets[0], 43_200.0)
        assert state_of(database, "key-1", budgets[0], clock.now).used == 2 * cost
        clock.now += timedelta(days=1)
        assert isinstance(ask(one, budgets), Granted)


def test_tokens_and_money_are_kept_beside_each_other(database: Database) -> None:
    clock, budgets = Clock(), (Budget(100_000, "day"), Budget(DOLLAR // 10, "day", "USD"))
    with workers(database, clock) as (one,):
        granted = ask(one, budgets)
        assert isinstance(granted, Granted)
        assert granted.tokens is not None
        assert granted.cost is not None
        assert granted.tokens.left == 100_000 - HOLD
        assert granted.cost.left == DOLLAR // 10 - HOLD * 4 * PER_TOKEN
        spend(database, clock, granted, 300)
    used = [state_of(database, "key-1", budget, clock.now) for budget in budgets]
    assert [(state.used, state.taken) for state in used] == [(300, 300), (300 * PER_TOKEN, 300 * PER_TOKEN)]


def test_a_model_without_a_price_is_not_called_on_a_budget_in_money(database: Database) -> None:
    dollars, euros = (Budget(DOLLAR, "day", "USD"),), (Budget(DOLLAR, "day", "EUR"),)
    with workers(database, Clock()) as (one,):
        assert ask(one, dollars, model="unheard-of") == Unpriced("unheard-of", "USD")
        assert ask(one, euros) == Unpriced("gpt-4o-mini", "EUR")
        assert ask(one, dollars, model="free") == Granted(None)  # costs nothing, and so needs nothing left


LIMITS = (TokenRateLimit(3_000, "24h"), TokenRateLimit(50, "1m"))
REFERENCE = "llm/gpt"


def test_a_subscription_s_limit_is_each_user_s_over_all_of_their_keys(database: Database) -> None:
    clock = Clock()
    anns = {"limits": LIMITS, "reference": REFERENCE}
    with workers(database, clock, 2) as (one, two):
        for worker, key_id in ((one, "key-1"), (two, "key-2"), (one, "")):

            def granted(worker: Spending = worker, key_id: str = key_id) -> Granted | None:
                found = ask(worker, (), key_id=key_id, **anns)
                return found if isinstance(found, Granted) else None

            # What the other worker leased ahead comes back after a second.
            passed = until(granted, what=f"{key_id} passes")
            assert passed is not None
            spend(database, clock, passed, HOLD, key_id=key_id or None)
        for worker, key_id in ((one, "key-1"), (two, "key-9")):
            assert ask(worker, (), key_id=key_id, **anns) == Spent(Budget(3_000, "24h"), 43_200.0, "gold")
        for other in ({"user": "bob"}, {"subscription": "silver"}, {"reference": "llm/other"}):
            assert isinstance(ask(one, (), **{**anns, **other}), Granted)
    place = holder("ann", "gold", REFERENCE)
    assert state_of(database, place, Budget(3_000, "24h"), clock.now).used == 3_000


def test_limits_of_less_than_an_hour_are_the_gateway_s(database: Database) -> None:
    with workers(database, Clock()) as (one,):
        assert ask(one, (), limits=LIMITS[1:], reference=REFERENCE) == Granted(None)


def test_dear_and_cheap_models_on_one_budget_never_overshoot_together(database: Database) -> None:
    """A lease for the cheap one's holds does not stand for the dear one's."""
    clock, budgets = Clock(), (Budget(DOLLAR, "total", "USD"),)
    dear = PRICE._replace(input=Decimal(50), output=Decimal(50), written=Decimal(50))
    book = PriceBook({"gpt-4o-mini": [PRICE], "dear": [dear]})
    made = [Spending(Bank(database), hold=HOLD, prices=lambda: book, now=clock) for _ in range(2)]
    for one in made:
        one.start()
    promised = 0
    try:
        for turn in range(200):
            found = ask(made[turn % 2], budgets, model=("gpt-4o-mini", "dear")[turn % 3 == 0])
            if isinstance(found, Spent):
                break
            assert isinstance(found, Granted)
            assert found.hold is not None
            promised += found.hold.cost
    finally:
        for one in made:
            one.stop()
    assert DOLLAR * 8 // 10 < promised <= DOLLAR


def test_periods_long_over_are_forgotten_and_totals_are_not(database: Database) -> None:
    clock = Clock()
    budgets = (Budget(9_000, "hour"), Budget(9_000, "month"), Budget(9_000, "total"), Budget(DOLLAR, "total", "USD"))
    with workers(database, clock) as (one,):
        granted = ask(one, budgets, limits=(TokenRateLimit(9_000, "9000h"),), reference=REFERENCE)
        assert isinstance(granted, Granted)
        spend(database, clock, granted, 10)
    clock.now += timedelta(days=4)
    Ledger(database, TENANT, now=clock).forget(None)
    with database.reading() as connection:
        kept = connection.scalars(sa.text("SELECT per FROM maas_budget_use ORDER BY per")).all()
    assert kept == ["9000h", "month", "total", "total/USD"]
