"""Rows of a real PostgreSQL that cannot be read: they cost their own keys the answer, and no other."""

from __future__ import annotations

import logging
from concurrent.futures import Future

import psycopg
import pytest

from maas_api.observability import metrics
from maas_api.store.database import open_database
from maas_api.validation.reader import KeyReader, StoreDownError
from maas_api.validation.validation import Unavailable
from maas_api.validation.verdict import Verdict
from tests.support.postgres import PostgresServer
from tests.support.replicas import Replica, replicas

TENANT = "models-as-a-service"

# Allow-lists as a table takes them, and one that fails in the server: the view reads a key's id as JSON.
NO_LIST = "UPDATE maas_key_models SET models = '5' WHERE key_id = ANY(%s)"
NO_PYTHON_NUMBER = f"UPDATE maas_key_models SET models = '[{'1' * 5_000}]' WHERE key_id = ANY(%s)"
NOT_COMPUTED = (
    "UPDATE maas_key_models SET models = '\"broken\"' WHERE key_id = ANY(%s);"
    "ALTER TABLE maas_key_models RENAME TO listed;"
    "CREATE VIEW maas_key_models AS SELECT key_id,"
    " CASE models::text WHEN '\"broken\"' THEN key_id::json ELSE models END AS models FROM listed"
)


def spoil(url: str, statement: str, key_ids: list[str]) -> None:
    with psycopg.connect(url) as connection, psycopg.ClientCursor(connection) as cursor:  # several statements at once
        cursor.execute(statement.encode(), (key_ids,))


def together(worker: Replica, keys: list[str]) -> list[Verdict | None]:
    """The answers to keys presented at once; None for a transient fault."""
    asked = [worker.validation.check(key) for key in keys]
    found: list[Verdict | None] = []
    for answer in asked:
        try:
            found.append(answer.result(20) if isinstance(answer, Future) else answer)
        except Unavailable:
            found.append(None)
    return found


@pytest.mark.parametrize("statement", [NO_LIST, NO_PYTHON_NUMBER, NOT_COMPUTED], ids=["judged", "decoded", "computed"])
def test_a_row_that_cannot_be_read_takes_no_other_key_down(
    postgres: PostgresServer, statement: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = postgres.migrated()
    with replicas(url) as (worker,):
        minted = [worker.mint(models=["one"]) for _ in range(12)]
        bad = {minted[3][1], minted[7][1]}
        spoil(url, statement, sorted(bad))
        keys = [key for key, _id in minted]
        counted = metrics.store_errors.labels("lookup").value
        caplog.set_level(logging.ERROR)
        for _ in range(2):
            found = together(worker, keys)
            assert [verdict.key_id if verdict else None for verdict in found] == [
                None if key_id in bad else key_id for _key, key_id in minted
            ]
            assert not worker.validation._lookup.down
        assert metrics.store_errors.labels("lookup").value == counted + 4
        said = [record.getMessage() for record in caplog.records if record.name == "maas_api.validation.reader"]
        assert said == ["a key's row cannot be read, nobody is told whether it is valid"] * 2


def test_a_statement_that_fails_for_every_key_is_an_outage(postgres: PostgresServer) -> None:
    url = postgres.migrated()
    database = open_database(url)
    reader = KeyReader(database, TENANT)
    with psycopg.connect(url) as connection:
        connection.execute("ALTER TABLE maas_old_secrets RENAME TO away")
    with pytest.raises(StoreDownError, match="ProgrammingError"):
        reader.fetch([letter * 64 for letter in "abc"])
    reader.close()
    database.stop()
