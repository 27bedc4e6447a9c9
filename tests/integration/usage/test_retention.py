"""Old sums go without holding anybody up; new months are there before they are needed."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from maas_api.store import months
from maas_api.store.database import Database, open_database
from maas_api.store.keeper import Keeper
from maas_api.usage.otlp import Entry
from maas_api.usage.query import Query
from maas_api.usage.rollup import Folded, fold
from maas_api.usage.statements.ledger import Ledger
from maas_api.usage.statements.reading import Reading
from tests.support.clock import NOON as NOW
from tests.support.clock import Clock
from tests.support.otlp import call
from tests.support.postgres import PostgresServer
from tests.support.wait import until

TENANT = "models-as-a-service"


def calls(moment: datetime, number: int = 1, body: bytes = b"") -> Folded:
    at = moment.timestamp()
    return fold([Entry(int(at * 1e9), call(model=f"m{n}")) for n in range(number)], body, at)


def count(database: Database) -> int:
    found = Reading(database, TENANT).sums(Query(NOW - timedelta(days=900), NOW + timedelta(days=900), "total"))
    return sum(item.counts.requests for item in found)


def test_sums_older_than_the_retention_go_and_the_others_stay(database: Database) -> None:
    clock = Clock()
    ledger = Ledger(database, TENANT, now=clock)
    for days in (200, 100, 40, 1):
        clock.now = NOW - timedelta(days=days)
        ledger.add(calls(clock.now, 700, str(days).encode()))
    clock.now = NOW
    keeper = Keeper("usage", ledger.forget, ledger.now, 60)
    keeper.look()
    keeper.look()
    assert count(database) == 1400
    Keeper("usage", ledger.forget, ledger.now, 0).look()
    assert count(database) == 1400


def test_batches_are_recognized_for_an_hour_and_then_forgotten(database: Database) -> None:
    clock = Clock()
    ledger = Ledger(database, TENANT, now=clock)
    batch = calls(NOW, body=b"the same")
    assert [ledger.add(batch), ledger.add(batch)] == [True, False]
    clock.now += timedelta(minutes=59)
    ledger.forget(None)
    assert not ledger.add(batch)
    clock.now += timedelta(minutes=2)
    ledger.forget(None)
    assert ledger.add(batch)
    assert count(database) == 2


def test_a_month_nobody_prepared_is_made_when_its_first_call_comes(database: Database) -> None:
    clock = Clock()
    ledger = Ledger(database, TENANT, now=clock)
    for days in range(0, 400, 40):
        clock.now = NOW + timedelta(days=days)
        assert ledger.add(calls(clock.now, body=str(days).encode()))
    assert count(database) == 10


def test_workers_that_need_a_new_month_at_once_make_it_once(postgres: PostgresServer) -> None:
    url = postgres.migrated()
    moment = NOW + timedelta(days=500)
    databases = [open_database(url) for _ in range(6)]
    ready = threading.Barrier(len(databases))
    faults: list[BaseException] = []

    def work(database: Database, number: int) -> None:
        ready.wait()
        try:
            Ledger(database, TENANT).add(calls(moment, body=str(number).encode()))
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=work, args=pair) for pair in zip(databases, range(6), strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert faults == []
    assert count(databases[0]) == 6
    for database in databases:
        database.stop()


def test_dropping_an_old_month_waits_for_its_readers_and_holds_nobody_up(postgres: PostgresServer) -> None:
    database = open_database(postgres.migrated())
    clock = Clock()
    ledger = Ledger(database, TENANT, now=clock)
    clock.now = NOW - timedelta(days=200)
    ledger.add(calls(clock.now, body=b"old"))
    clock.now = NOW
    ledger.add(calls(NOW, body=b"new"))
    dropped: list[str] = []

    def drop() -> None:
        dropped.extend(months.drop_before(database.engine, "maas_usage", NOW - timedelta(days=60)))

    dropping = threading.Thread(target=drop)
    with database.writing() as reader:
        reader.execute(sa.text("SELECT count(*) FROM maas_usage"))  # every month, and it is not done yet
        dropping.start()
        until(lambda: waiting(database), what="the drop waits for the reader")
        assert ledger.add(calls(NOW, body=b"meanwhile"))
        assert count(database) == 2
        assert not dropped
    dropping.join(10)
    assert dropped == ["maas_usage_2026_05"]
    database.stop()


def waiting(database: Database) -> bool:
    """Whether a detachment waits for somebody's transaction."""
    asked = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%DETACH PARTITION%' AND wait_event_type = 'Lock'"
    with database.reading() as connection:
        return bool(connection.execute(sa.text(asked)).scalar())


@pytest.mark.parametrize("pending", [True, False], ids=["while it waited", "before the table went"])
def test_a_drop_that_was_cut_short_is_finished_the_next_time(postgres: PostgresServer, *, pending: bool) -> None:
    database = open_database(postgres.migrated())
    clock = Clock()
    clock.now = NOW - timedelta(days=200)
    Ledger(database, TENANT, now=clock).add(calls(clock.now))
    detach = "ALTER TABLE maas_usage DETACH PARTITION maas_usage_2026_05 CONCURRENTLY"
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if pending:
            connection.exec_driver_sql("SET statement_timeout = '200ms'")
            with database.writing() as reader:
                reader.execute(sa.text("SELECT count(*) FROM maas_usage"))
                with pytest.raises(sa.exc.OperationalError):
                    connection.exec_driver_sql(detach)
            connection.exec_driver_sql("RESET statement_timeout")
        else:
            connection.exec_driver_sql(detach)
    assert months.drop_before(database.engine, "maas_usage", NOW) == ["maas_usage_2026_05"]
    assert months.drop_before(database.engine, "maas_usage", NOW) == []
    database.stop()
