"""Every statement of the hot and search paths uses an index, whatever the table's size. PostgreSQL is asked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from psycopg.types.json import Jsonb
from sqlalchemy.dialects import postgresql

from maas_api.keys.statements import search
from maas_api.keys.statements.search import Query
from maas_api.keys.statements.store import KeyStore
from maas_api.store.database import Database, lookup_database, open_database
from maas_api.validation.reader import lookup_statement
from tests.support.postgres import PostgresServer

TENANT = "models-as-a-service"
ROWS = 50_000


@pytest.fixture(scope="module")
def database(postgres: PostgresServer) -> Iterator[Database]:
    url = postgres.migrated()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            """
            INSERT INTO api_keys (id, username, name, key_hash, user_groups, subscription, created_at, expires_at,
                                  last_used_at, labels, description)
            SELECT n::text, 'user-' || n %% 500, 'name-' || n, md5(n::text) || md5((-n)::text), ARRAY['g'],
                   's' || n %% 9, now() - n * interval '1 minute', now() + (n - 1000) * interval '1 minute',
                   CASE WHEN n %% 3 = 0 THEN now() - n * interval '1 second' END,
                   jsonb_build_object('n', n::text), 'd'
            FROM generate_series(1, %s) AS n
            """,
            (ROWS,),
        )
        connection.execute(
            "INSERT INTO maas_old_secrets SELECT 'old-' || id, tenant, id, now() FROM api_keys WHERE id::int % 10 = 0"
        )
        connection.execute("INSERT INTO maas_key_models SELECT id, '[]' FROM api_keys WHERE id::int % 5 = 0")
        # From every row, not from a sample: a plan that hangs on the luck of a sample is not a plan to promise.
        connection.execute("SET default_statistics_target = 10000")
        connection.execute("ANALYZE api_keys, maas_old_secrets, maas_key_models")
    made = open_database(url)
    yield made
    made.stop()


def plan(database: Database, statement: Any, values: dict[str, Any]) -> str:
    compiled = statement.compile(dialect=postgresql.psycopg.dialect(), compile_kwargs={"render_postcompile": True})
    given = {name: Jsonb(value) if isinstance(value, dict) else value for name, value in compiled.params.items()}
    with database.reading() as connection:
        rows = connection.exec_driver_sql(f"EXPLAIN {compiled}", {**given, **values}).all()
    return "\n".join(row[0] for row in rows)


def assert_indexed(text: str) -> None:
    assert "Seq Scan" not in text, text
    assert "Index" in text, text


@pytest.mark.parametrize("count", [1, 30, 500])
def test_the_lookup(database: Database, count: int) -> None:
    hashes = [f"{number:064x}" for number in range(count)]
    lookups = lookup_database(database.url, 5)
    assert_indexed(plan(lookups, lookup_statement(True), {"tenant": TENANT, "hashes": hashes}))
    lookups.stop()


ORDERS = [(by, descending) for by in search.ORDERS for descending in (True, False)]


@pytest.mark.parametrize(("by", "descending"), ORDERS)
@pytest.mark.parametrize("username", ["user-7", None])
def test_every_order_of_a_user_s_and_of_an_admin_s_search(
    database: Database, username: str | None, by: str, descending: bool
) -> None:
    query = Query(username=username, order_by=by, descending=descending)
    text = plan(database, search.statement(query, TENANT, datetime.now(UTC), postgres=True), {})
    assert_indexed(text)
    if username is None:
        assert f"maas_api_keys_by_{by.removesuffix('_at')}" in text, "a page of the tenant is read in its order"


FILTERS: list[dict[str, Any]] = [
    {"statuses": ("active",)},
    {"statuses": ("expired", "revoked")},
    {"subscription": "s1"},
    {"labels": {"n": "77"}},
    {"created": (datetime.now(UTC), None)},
    {"expires": (None, datetime.now(UTC))},
    {"last_used": (datetime.now(UTC), None)},
    {"has_expiration": False},
    {"has_been_used": True},
    {"include_ephemeral": True},
]
FREE_TEXT: list[dict[str, Any]] = [{"name_contains": "name-77"}, {"description_contains": "x"}]


@pytest.mark.parametrize("filters", FREE_TEXT, ids=lambda filters: next(iter(filters)))
def test_free_text_over_a_whole_tenant_reads_it_once_and_no_more(database: Database, filters: dict[str, Any]) -> None:
    """What no index here serves: a part of a name or description, in an admin's search that nothing else narrows."""
    query = Query(**filters)
    text = plan(database, search.statement(query, TENANT, datetime.now(UTC), postgres=True), {})
    assert text.count("Scan on api_keys") <= 1


@pytest.mark.parametrize("filters", FILTERS, ids=lambda filters: next(iter(filters)))
def test_every_filter_of_an_admin_s_search(database: Database, filters: dict[str, Any]) -> None:
    query = Query(**filters)
    assert_indexed(plan(database, search.statement(query, TENANT, datetime.now(UTC), postgres=True), {}))


@pytest.mark.parametrize("filters", [*FILTERS, *FREE_TEXT], ids=lambda filters: next(iter(filters)))
def test_every_filter_of_a_user_s_search(database: Database, filters: dict[str, Any]) -> None:
    query = Query(username="user-7", **filters)
    assert_indexed(plan(database, search.statement(query, TENANT, datetime.now(UTC), postgres=True), {}))


def test_one_key_by_id(database: Database) -> None:
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_more: Any) -> None:
        statements.append(statement)
        assert_indexed(explained(database, statement, values))

    sa.event.listen(database.engine, "before_cursor_execute", note)
    store = KeyStore(database, TENANT)
    assert store.get("7") is not None
    assert store.revoke("7") is not None
    sa.event.remove(database.engine, "before_cursor_execute", note)
    assert len(statements) >= 3


def explained(database: Database, statement: str, values: Any) -> str:
    if "pg_notify" in statement:
        return "Index"  # reads no table
    with psycopg.connect(database.url) as connection:
        rows = connection.execute(f"EXPLAIN {statement}".encode(), values).fetchall()
    return "\n".join(row[0] for row in rows)
