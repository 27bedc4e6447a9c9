"""Every question to the audit is answered by an index, newest first, without a sort: whatever it holds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from maas_api import migrations
from maas_api.audit.query import Query
from maas_api.audit.reading import Reading, statement
from maas_api.store.database import Database, open_database
from tests.support.audit_rows import NEWEST, TENANT, fill
from tests.support.postgres import PostgresServer

ROWS = 40_000

QUESTIONS: dict[str, dict[str, str]] = {
    "everything": {},
    "what somebody did": {"actor": "user-7"},
    "what was done to somebody's keys": {"owner": "user-7"},
    "what was done to a key": {"key": "key-77"},
    "what was done with a key": {"viaKey": "key-77"},
    "one kind of change": {"action": "revoke"},
    "what was refused": {"outcome": "refused"},
    "one kind of credential": {"via": "command line"},
    "a request": {"requestId": "request-7777"},
    "somebody's revocations": {"actor": "user-7", "action": "revoke"},
}
TIMES: dict[str, dict[str, Any]] = {
    "ever": {},
    "in ten days": {"start": NEWEST - timedelta(days=20), "end": NEWEST - timedelta(days=10)},
    "the next page": {"after": (NEWEST - timedelta(days=15), "record-7")},
}


@pytest.fixture(scope="module")
def postgresql_rows(postgres: PostgresServer) -> Iterator[Database]:
    database = open_database(postgres.migrated(), statement_seconds=None)
    fill(database, ROWS)
    yield database
    database.stop()


@pytest.fixture(scope="module")
def sqlite_rows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    path: Path = tmp_path_factory.mktemp("rows") / "keys.db"
    migrations.upgrade(f"sqlite:///{path}")
    database = open_database(f"sqlite:///{path}")
    fill(database, ROWS)
    yield database
    database.stop()


def plan(database: Database, query: Query) -> str:
    dialect = postgresql.psycopg.dialect() if database.postgres else sqlite.dialect(paramstyle="named")
    made = statement(query, TENANT)
    with database.reading() as connection:
        explain = "EXPLAIN" if database.postgres else "EXPLAIN QUERY PLAN"
        compiled = made.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
        values = {name: _given(value, text=not database.postgres) for name, value in compiled.params.items()}
        rows = connection.exec_driver_sql(f"{explain} {compiled}", values).all()
    return "\n".join(str(row[-1]) for row in rows)


def _given(value: Any, *, text: bool) -> Any:
    return value.strftime("%Y-%m-%d %H:%M:%S.%f") if text and isinstance(value, datetime) else value


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("question", QUESTIONS)
def test_on_postgresql(postgresql_rows: Database, question: str, time: str) -> None:
    found = plan(postgresql_rows, Query(only=QUESTIONS[question], **TIMES[time]))
    # Of the months that hold a handful of records, or none, reading all is cheaper than any index.
    whole = [float(cost) for cost in re.findall(r"Seq Scan on \S+ \S+  \(cost=[\d.]+\.\.([\d.]+)", found)]
    assert max(whole, default=0.0) < 20, found
    assert "Index" in found, found


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("question", QUESTIONS)
def test_on_sqlite(sqlite_rows: Database, question: str, time: str) -> None:
    found = plan(sqlite_rows, Query(only=QUESTIONS[question], **TIMES[time]))
    assert "SCAN" not in found, found
    assert "TEMP B-TREE" not in found, found


def test_the_newest_page_is_read_without_a_sort_of_all(postgresql_rows: Database) -> None:
    assert "Sort" not in plan(postgresql_rows, Query()).replace("Sort Key", "")
    with postgresql_rows.reading() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM maas_audit")).scalar() == ROWS


def test_a_question_that_is_asked_again_and_again_is_still_planned_for_its_values(postgresql_rows: Database) -> None:
    """psycopg prepares what is asked five times, and PostgreSQL may then keep a plan for any value: 400 ms, not 10."""
    reading = Reading(postgresql_rows, TENANT)
    for _ in range(12):
        assert len(reading.find(Query(only={"outcome": "refused"}))[0]) == ROWS // 5_000
    with postgresql_rows.reading() as connection:
        generic = (
            "SELECT coalesce(sum(generic_plans), 0) FROM pg_prepared_statements WHERE statement LIKE '%maas_audit%'"
        )
        assert connection.exec_driver_sql(generic.replace("%", "%%")).scalar() == 0
