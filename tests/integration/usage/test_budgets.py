"""Budgets over several workers and one store: what is spent, what is held, what is refused and when."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from maas_api.keys.budget import Budget
from maas_api.store.database import Database, open_database
from maas_api.usage.budgets.accounts import SAID_AGAIN_SECONDS
from maas_api.usage.budgets.decisions import Granted, Spent, Unknown
from maas_api.usage.budgets.spending import Spending
from maas_api.usage.statements.holds import GENERATION_SECONDS, Bank, Lease, state_of
from tests.support.clock import NOON, Clock
from tests.support.payers import HOLD, PAYER, ask, held, spend, workers


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """With as many connections as there are clients, who wait for theirs."""
    made = open_database(database_url, max_open=70, statement_seconds=None)
    yield made
    made.stop()


def test_a_budget_is_spent_and_then_refused_until_it_begins_anew(database: Database) -> None:
    clock, budgets = Clock(), (Budget(3_000, "hour"),)
    with workers(database, clock) as (one,):
        for _ in range(3):
            granted = ask(one, budgets)
            assert isinstance(granted, Granted)
            spend(database, clock, granted, HOLD)
        refused = ask(one, budgets)
        assert refused == Spent(budgets[0], 3600.0)
        assert state_of(database, "key-1", budgets[0], clock.now).used == 3_000
        clock.now += timedelta(hours=1)
        assert isinstance(ask(one, budgets), Granted)


def test_tokens_that_a_call_did_not_take_can_be_spent_by_others(database: Database) -> None:
    clock, budgets = Clock(), (Budget(2_000, "day"),)
    with workers(database, clock) as (one,):
        for _ in range(8):
            granted = ask(one, budgets)
            assert isinstance(granted, Granted)
            spend(database, clock, granted, 50)
    state = state_of(database, "key-1", budgets[0], clock.now)
    assert (state.used, state.taken) == (400, 400)


def test_64_clients_at_four_workers_never_take_more_than_was_held_for_them(database: Database) -> None:
    """Calls that take what is held for them: not one token over the budget."""
    clock, budgets = Clock(), (Budget(100_000, "day"),)
    with workers(database, clock, 4) as four, ThreadPoolExecutor(64) as pool:
        stop = threading.Event()
        passed, spent_lock = [0], threading.Lock()

        def client(number: int) -> None:
            refusals = 0
            while refusals < 3 and not stop.is_set():
                found = ask(four[number % 4], budgets)
                if isinstance(found, Granted):
                    spend(database, clock, found, held(found), number=number)
                    with spent_lock:
                        passed[0] += held(found)
                else:
                    refusals += 1

        list(pool.map(client, range(64)))
    state = state_of(database, "key-1", budgets[0], clock.now)
    assert state.used == passed[0] <= 100_000
    assert state.used > 90_000  # and it can be spent nearly all while all ask at once
    assert state.taken == state.used  # what was held for nobody was given back


def test_the_overshoot_is_at_most_what_calls_in_flight_took_beyond_their_holds(database: Database) -> None:
    clock, budgets, large = Clock(), (Budget(20_000, "day"),), 5_000
    with workers(database, clock, 4) as four:
        granted = []
        while True:
            found = [ask(one, budgets) for one in four]
            granted += [item for item in found if isinstance(item, Granted)]
            if all(isinstance(item, Spent) for item in found):
                break
        for number, item in enumerate(granted):  # all of them in flight at once
            spend(database, clock, item, large, number=number)
    used = state_of(database, "key-1", budgets[0], clock.now).used
    assert sum(map(held, granted)) <= 20_000
    assert used - 20_000 <= len(granted) * (large - HOLD)


def test_a_raised_budget_is_in_force_at_once(database: Database) -> None:
    clock = Clock()
    with workers(database, clock) as (one,):
        granted = ask(one, (Budget(1_000, "day"),))
        assert isinstance(granted, Granted)
        assert isinstance(ask(one, (Budget(1_000, "day"),)), Spent)
        assert isinstance(ask(one, (Budget(5_000, "day"),)), Granted)


def test_every_budget_of_a_key_must_have_something_left(database: Database) -> None:
    clock, budgets = Clock(), (Budget(2_000, "hour"), Budget(3_000, "total"))
    with workers(database, clock) as (one,):
        for _ in range(2):
            granted = ask(one, budgets)
            assert isinstance(granted, Granted)
            spend(database, clock, granted, HOLD)
        assert ask(one, budgets) == Spent(budgets[0], 3600.0)
        clock.now += timedelta(hours=1)
        granted = ask(one, budgets)
        assert isinstance(granted, Granted)
        spend(database, clock, granted, HOLD)
        assert ask(one, budgets) == Spent(budgets[1], None)


def test_a_small_budget_lets_a_call_pass(database: Database) -> None:
    with workers(database, Clock()) as (one,):
        assert held(ask(one, (Budget(10, "day"),))) == 10


def test_what_is_held_for_calls_that_are_never_reported_is_let_go_within_half_an_hour(database: Database) -> None:
    clock, budgets = Clock(), (Budget(1_000, "total"),)
    with workers(database, clock) as (one,):
        assert isinstance(ask(one, budgets), Granted)
        clock.now += timedelta(seconds=GENERATION_SECONDS - 1)
        assert isinstance(ask(one, budgets), Spent)
    clock.now = NOON + timedelta(seconds=2 * GENERATION_SECONDS)
    with workers(database, clock) as (one,):
        assert isinstance(ask(one, budgets), Granted)


def test_what_is_held_for_calls_that_are_never_reported_is_spent_where_that_is_wanted(database: Database) -> None:
    clock, budgets = Clock(), (Budget(1_000, "total"),)
    for later in (0, 2, 4):
        clock.now = NOON + timedelta(seconds=later * GENERATION_SECONDS)
        one = Spending(Bank(database, keep=True), hold=HOLD, now=clock)
        one.start()
        try:
            assert isinstance(ask(one, budgets), Spent if later else Granted)
        finally:
            one.stop()
    state = state_of(database, "key-1", budgets[0], clock.now, keep=True)
    assert (state.used, state.taken) == (1_000, 1_000)


class Broken(Bank):
    """A store that is down, or not."""

    down = True
    fault: Exception = sa.exc.OperationalError("", {}, Exception())

    def lease(self, holder: str, budget: Budget, wanted: int, least: int, now: datetime) -> Lease:
        if self.down:
            raise self.fault
        return super().lease(holder, budget, wanted, least, now)


@pytest.mark.parametrize("calls", [0, 3])
def test_while_the_store_is_down_so_many_calls_pass_as_the_option_says(database: Database, calls: int) -> None:
    bank = Broken(database)
    worker = Spending(bank, hold=HOLD, outage_calls=calls, now=Clock())
    worker.start()
    budgets = (Budget(100_000, "day"),)
    try:
        found = [ask(worker, budgets) for _ in range(calls + 2)]
        assert [type(item) for item in found] == [Granted] * calls + [Unknown] * 2
        bank.down = False
        assert isinstance(ask(worker, budgets), Granted)
    finally:
        worker.stop()


def test_a_fault_of_our_own_is_no_yes_and_ends_nothing(database: Database) -> None:
    bank = Broken(database)
    bank.fault = TypeError("ours")
    worker, budgets = Spending(bank, hold=HOLD, now=Clock()), (Budget(100_000, "day"),)
    worker.start()
    try:
        assert isinstance(ask(worker, budgets), Unknown)
        bank.down = False
        assert isinstance(ask(worker, budgets), Granted)
    finally:
        worker.stop()


def test_the_store_is_asked_once_for_many_calls(database: Database) -> None:
    asked = []

    class Counting(Bank):
        def lease(self, holder: str, budget: Budget, wanted: int, least: int, now: datetime) -> Lease:
            asked.append(holder)
            return super().lease(holder, budget, wanted, least, now)

    worker = Spending(Counting(database), hold=HOLD, now=Clock())
    worker.start()
    try:
        for _ in range(320):
            assert isinstance(ask(worker, (Budget(10**9, "day"),)), Granted)
    finally:
        worker.stop()
    assert len(asked) <= 12


def test_calls_within_a_hundredth_of_a_second_are_told_the_same_and_each_is_held_for(database: Database) -> None:
    clock, ticks, budgets = Clock(), [100.0], (Budget(100_000, "day"), Budget(90_000, "month"))
    one = Spending(Bank(database), hold=HOLD, now=clock, clock=lambda: ticks[0])
    one.start()
    payer = replace(PAYER, budgets=budgets)
    try:
        first = one.check(payer)
        assert isinstance(first, Future)
        told = [first.result(20), *[one.check(payer) for _ in range(9)]]
        ticks[0] += SAID_AGAIN_SECONDS
        told.append(one.check(payer))
    finally:
        one.stop()
    left = [found.tokens and found.tokens.left for found in told if isinstance(found, Granted)]
    assert left == [90_000 - HOLD] * 10 + [90_000 - 11 * HOLD]
    assert [held(found) for found in told if not isinstance(found, Future)] == [HOLD] * 11
    assert state_of(database, PAYER.key_id, budgets[1], clock.now).taken == 11 * HOLD  # the rest was given back


def test_a_call_that_tells_no_usage_spends_what_was_held_for_it(database: Database) -> None:
    clock, budgets = Clock(), (Budget(3 * HOLD, "day"),)
    with workers(database, clock) as (one,):
        for _ in range(3):
            granted = ask(one, budgets)
            assert isinstance(granted, Granted)
            spend(database, clock, granted, None)
        assert isinstance(ask(one, budgets), Spent)
