"""Every question about usage is answered by an index, or from the months it asks for alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from maas_api import migrations
from maas_api.store import months
from maas_api.store.database import Database, open_database
from maas_api.usage.query import Query
from maas_api.usage.record import Counts
from maas_api.usage.report import priced_by
from maas_api.usage.statements.reading import Reading, statement
from maas_api.usage.statements.tables import DIMENSIONS, usage
from tests.support.postgres import PostgresServer
from tests.support.usage_rows import TENANT, fill

NOVEMBER = (datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
SERIES = 20  # of each hour of the year: 175,200 rows


@pytest.fixture(scope="module")
def postgresql_rows(postgres: PostgresServer) -> Iterator[Database]:
    database = open_database(postgres.migrated(), statement_seconds=None)
    fill(database, SERIES)
    yield database
    database.stop()


@pytest.fixture(scope="module")
def sqlite_rows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    path: Path = tmp_path_factory.mktemp("rows") / "usage.db"
    migrations.upgrade(f"sqlite:///{path}")
    database = open_database(f"sqlite:///{path}")
    fill(database, SERIES)
    yield database
    database.stop()


QUESTIONS: dict[str, dict[str, Any]] = {
    "a user's days": {"only": {"user": ("user-7",)}},
    "a user's days by model": {"only": {"user": ("user-7",)}, "group_by": ("model",)},
    "a user's days with money": {"only": {"user": ("user-7",)}, "priced": True},
    "a user's days by key": {"only": {"user": ("user-7",)}, "group_by": ("key",)},
    "a key's days": {"only": {"user": ("user-7",), "key": ("key-307",)}},
    "a key's hours": {"only": {"user": ("user-7",), "key": ("key-307",)}, "interval": "hour"},
    "the tenant's days": {},
    "the tenant's days by model": {"group_by": ("model",)},
    "the tenant's days by user": {"group_by": ("user",)},
    "the tenant's days with money": {"priced": True},
    "a subscription's days": {"only": {"subscription": ("s3",)}, "group_by": ("model",)},
    "a model's days": {"only": {"model": ("model-3",)}, "group_by": ("user",)},
}


def asked(question: dict[str, Any]) -> Query:
    query = Query(*NOVEMBER, question.get("interval", "day"), question.get("group_by", ()), question.get("only", {}))
    return priced_by(query) if question.get("priced") else query


def plan(database: Database, query: Query) -> str:
    made = statement(query, TENANT, postgres=database.postgres)
    with database.reading() as connection:
        if not database.postgres:
            compiled = made.compile(database.engine, compile_kwargs={"literal_binds": True})
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}").all()
            return "\n".join(str(row[3]) for row in rows)
        compiled = made.compile(dialect=postgresql.psycopg.dialect(), compile_kwargs={"render_postcompile": True})
        rows = connection.exec_driver_sql(f"EXPLAIN {compiled}", compiled.params).all()
        return "\n".join(row[0] for row in rows)


@pytest.mark.parametrize("name", QUESTIONS)
def test_postgresql_reads_the_months_asked_for_and_a_user_s_rows_by_index(postgresql_rows: Database, name: str) -> None:
    query = asked(QUESTIONS[name])
    text = plan(postgresql_rows, query)
    assert "maas_usage_2026_11" in text, text
    assert "maas_usage_2026_10" not in text, text
    assert "maas_usage_2026_12" not in text, text
    if "user" in query.only:
        assert "Seq Scan" not in text, text  # everything of a month is read as a whole, a part of it is not


@pytest.mark.parametrize("name", QUESTIONS)
def test_sqlite_reads_by_index(sqlite_rows: Database, name: str) -> None:
    text = plan(sqlite_rows, asked(QUESTIONS[name]))
    assert "SEARCH maas_usage USING" in text, text
    assert "SCAN maas_usage" not in text, text


@pytest.mark.parametrize("dialect", ["postgresql", "sqlite"])
def test_a_key_s_whole_life_is_read_by_index(request: pytest.FixtureRequest, dialect: str) -> None:
    """As ``GET /v1/key`` asks: from long ago on, in one sum."""
    only = {"user": ("user-7",), "key": ("key-307",)}
    query = Query(datetime(2000, 1, 1, tzinfo=UTC), NOVEMBER[1], "total", (), only)
    text = plan(request.getfixturevalue(f"{dialect}_rows"), query)
    assert "Seq Scan" not in text, text
    assert "SCAN maas_usage" not in text, text


@pytest.mark.parametrize("dialect", ["postgresql", "sqlite"])
def test_sums_too_large_for_a_double_are_exact(request: pytest.FixtureRequest, dialect: str) -> None:
    database: Database = request.getfixturevalue(f"{dialect}_rows")
    old, large = datetime(2025, 5, 1, tzinfo=UTC), 2**53 + 1
    with database.writing() as connection:
        if database.postgres:
            months.ensure(connection, "maas_usage", old)
        row = dict.fromkeys(Counts._fields, 1) | dict.fromkeys(DIMENSIONS, "x") | {"tenant": TENANT, "input": large}
        connection.execute(sa.insert(usage), [row | {"hour": old + timedelta(hours=n)} for n in range(3)])
    (found,) = Reading(database, TENANT).sums(Query(old, old + timedelta(days=1), "day", ("user",)))
    assert (found.counts.input, found.counts.output) == (3 * large, 3)


@pytest.mark.parametrize("dialect", ["postgresql", "sqlite"])
@pytest.mark.parametrize("interval", ["hour", "day", "month", "total"])
def test_both_stores_give_the_same_lines(request: pytest.FixtureRequest, dialect: str, interval: str) -> None:
    only = {"model": ("model-3",)}
    query = Query(datetime(2026, 10, 30, 5, tzinfo=UTC), NOVEMBER[0] + timedelta(days=2), interval, ("user",), only)
    sums = Reading(request.getfixturevalue(f"{dialect}_rows"), TENANT).sums(query)
    starts = {item.start for item in sums}
    assert sum(item.counts.requests for item in sums) == 9 * (24 * 4 - 5)
    assert (
        starts
        == {
            "hour": {query.start + timedelta(hours=hour) for hour in range(24 * 4 - 5)},
            "day": {datetime(2026, 10, 30, tzinfo=UTC) + timedelta(days=day) for day in range(4)},
            "month": {datetime(2026, month, 1, tzinfo=UTC) for month in (10, 11)},
            "total": {None},
        }[interval]
    )


def test_the_days_add_up(postgresql_rows: Database) -> None:
    sums = Reading(postgresql_rows, TENANT).sums(Query(*NOVEMBER, "day"))
    assert {item.start for item in sums} == {NOVEMBER[0] + timedelta(days=day) for day in range(30)}
    assert sum(item.counts.input for item in sums) == SERIES * 24 * 30 * 1000
