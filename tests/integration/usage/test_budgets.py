"""Budgets over several workers and one store: what is spent, what is held, what is refused and when."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from maas_api import migrations
from maas_api.keys.budget import Budget, Budgets
from maas_api.store.database import Database, open_database
from maas_api.usage.budgets.decisions import Decision, Granted, Spent, Unknown
from maas_api.usage.budgets.spending import Spending
from maas_api.usage.otlp import Entry
from maas_api.usage.record import HELD, Hold
from maas_api.usage.rollup import fold
from maas_api.usage.statements.holds import GENERATION_SECONDS, Bank, Lease, state_of
from maas_api.usage.statements.ledger import Ledger
from tests.support.otlp import call
from tests.support.postgres import PostgresServer

TENANT = "models-as-a-service"
HOLD = 1_000
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Clock:
    """Both clocks of a budget, moved by the test."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'keys.db'}"
        migrations.upgrade(url)
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.migrated()
    made = open_database(url)
    yield made
    made.stop()


@contextmanager
def workers(database: Database, clock: Clock, count: int = 1, **options: int) -> Iterator[list[Spending]]:
    made = [Spending(Bank(database), hold=HOLD, now=clock, **options) for _ in range(count)]
    for one in made:
        one.start()
    try:
        yield made
    finally:
        for one in made:
            one.stop()


def ask(worker: Spending, budgets: Budgets, key_id: str = "key-1") -> Decision:
    found = worker.check(key_id, budgets)
    return found.result(20) if isinstance(found, Future) else found


def spend(database: Database, clock: Clock, granted: Granted, tokens: int, *, number: int = 0) -> None:
    """The call's usage arrives."""
    said = {HELD.removeprefix("maas."): str(Hold(granted.held, granted.generation))}
    usage = {"prompt_tokens": tokens, "completion_tokens": 0}
    at = int(clock.now.timestamp() * 1e9)
    batch = fold([Entry(at, call(**said, usage=usage))], str((number, time.monotonic_ns())).encode(), at / 1e9)
    assert Ledger(database, TENANT, now=clock).add(batch)


def test_a_budget_is_spent_and_then_refused_until_it_begins_anew(database: Database) -> None:
    clock, budgets = Clock(), (Budget(3_000, "hour"),)
    with workers(database, clock) as (one,):
        for _ in range(3):
            granted = ask(one, budgets)
            assert isinstance(granted, Granted)
            spend(database, clock, granted, HOLD)
        refused = ask(one, budgets)
        assert refused == Spent(budgets[0], 3600.0)
        assert state_of(database, "key-1", "hour", clock.now).used == 3_000
        clock.now += timedelta(hours=1)
        assert isinstance(ask(one, budgets), Granted)


def test_tokens_that_a_call_did_not_take_can_be_spent_by_others(database: Database) -> None:
    clock, budgets = Clock(), (Budget(2_000, "day"),)
    with workers(database, clock) as (one,):
        for _ in range(8):
            granted = ask(one, budgets)
            assert isinstance(granted, Granted)
            spend(database, clock, granted, 50)
    state = state_of(database, "key-1", "day", clock.now)
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
                    spend(database, clock, found, found.held, number=number)
                    with spent_lock:
                        passed[0] += found.held
                else:
                    refusals += 1

        list(pool.map(client, range(64)))
    state = state_of(database, "key-1", "day", clock.now)
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
    used = state_of(database, "key-1", "day", clock.now).used
    assert sum(item.held for item in granted) <= 20_000
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
        granted = ask(one, (Budget(10, "day"),))
        assert isinstance(granted, Granted)
        assert granted.held == 10


def test_what_is_held_for_calls_that_are_never_reported_is_let_go_within_half_an_hour(database: Database) -> None:
    clock, budgets = Clock(), (Budget(1_000, "total"),)
    with workers(database, clock) as (one,):
        assert isinstance(ask(one, budgets), Granted)
        clock.now += timedelta(seconds=GENERATION_SECONDS - 1)
        assert isinstance(ask(one, budgets), Spent)
    clock.now = NOON + timedelta(seconds=2 * GENERATION_SECONDS)
    with workers(database, clock) as (one,):
        assert isinstance(ask(one, budgets), Granted)


class Broken(Bank):
    """A store that is down, or not."""

    down = True

    def lease(self, key_id: str, budget: Budget, wanted: int, least: int, now: datetime) -> Lease:
        if self.down:
            raise sa.exc.OperationalError("", {}, Exception())
        return super().lease(key_id, budget, wanted, least, now)


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


def test_the_store_is_asked_once_for_many_calls(database: Database) -> None:
    asked = []

    class Counting(Bank):
        def lease(self, key_id: str, budget: Budget, wanted: int, least: int, now: datetime) -> Lease:
            asked.append(key_id)
            return super().lease(key_id, budget, wanted, least, now)

    worker = Spending(Counting(database), hold=HOLD, now=Clock())
    worker.start()
    try:
        for _ in range(320):
            assert isinstance(ask(worker, (Budget(10**9, "day"),)), Granted)
    finally:
        worker.stop()
    assert len(asked) <= 12
