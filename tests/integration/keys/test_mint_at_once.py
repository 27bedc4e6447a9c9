"""On PostgreSQL an ordinary mint and its record are one statement; nothing about them differs from the longer way."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import event

from maas_api.audit.query import parse
from maas_api.audit.reading import Reading
from maas_api.audit.record import Draft
from maas_api.keys.record import KeyRecord
from maas_api.keys.statements.store import KeyStore
from maas_api.store.database import Database, open_database
from tests.support.postgres import PostgresServer
from tests.support.wait import until

TENANT = "models-as-a-service"
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.migrated()


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = open_database(url)
    yield opened
    opened.stop()


@pytest.fixture
def store(database: Database) -> KeyStore:
    """A store that has recorded something, as it has soon after a start: the month's partitions are there."""
    made = KeyStore(database, TENANT)
    mint(made, "first")
    return made


def key(key_id: str, **given: Any) -> KeyRecord:
    usual: dict[str, Any] = {
        "id": key_id, "username": "ann", "name": "n'ame %s :x", "description": "", "groups": ("a", "b,c", 'd"'),
        "subscription": "gold", "tenant": TENANT, "status": "active", "created_at": NOW,
        "expires_at": NOW + timedelta(days=1), "last_used_at": None, "ephemeral": False, "labels": {}, "models": None,
        "budgets": (), "parent": "",
    }  # fmt: skip
    return KeyRecord(**{**usual, **given})


def mint(store: KeyStore, key_id: str, *, longer: bool = False, **given: Any) -> None:
    draft = Draft("mint", "ann", "ann", {"name": "n", "labels": ":x %(y)s"})
    store.insert(key(key_id, **given), f"hash of {key_id}", draft, gate=(lambda _connection: None) if longer else None)


def statements(database: Database) -> list[str]:
    """What is sent from now on."""
    sent: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *given: sent.append(given[2]))
    return sent


def row(database: Database, key_id: str) -> dict[str, Any]:
    with database.reading() as connection:
        found = connection.execute(sa.text("SELECT * FROM api_keys WHERE id = :id"), {"id": key_id}).mappings().one()
    return {name: value for name, value in found.items() if name not in ("id", "key_hash")}


GIVEN: list[dict[str, Any]] = [
    {},
    {"description": "what it is for", "labels": {"team": "a", "ü": '"'}},
    {"expires_at": None, "ephemeral": True, "groups": ("one",)},
]


@pytest.mark.parametrize("given", GIVEN)
def test_a_mint_is_one_statement_and_makes_the_same_rows(
    store: KeyStore, database: Database, given: dict[str, Any]
) -> None:
    sent = statements(database)
    mint(store, "short", **given)
    assert len(sent) == 1
    mint(store, "long", longer=True, **given)
    assert len(sent) > 2
    assert row(database, "short") == row(database, "long")
    entries, _ = Reading(database, TENANT).find(parse({}))
    told = {entry.key_ids: entry._replace(id="", at=NOW, key_ids=()) for entry in entries}
    assert told[("short",)] == told[("long",)]
    assert told[("short",)].details == {"name": "n", "labels": ":x %(y)s"}


def test_a_record_that_cannot_be_written_takes_the_key_with_it(
    store: KeyStore, url: str, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "maas_api.audit")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER TABLE maas_audit_keys ADD CONSTRAINT full_up CHECK (key_id <> 'lost') NOT VALID")
    with pytest.raises(sa.exc.SQLAlchemyError):
        mint(store, "lost")
    assert store.get("lost") is None
    entries, _ = Reading(database, TENANT).find(parse({}))
    assert [entry.key_ids for entry in entries] == [("first",)]
    assert vars(caplog.records[-1])["outcome"] == "failed"


def test_a_key_that_cannot_be_made_takes_the_record_with_it(store: KeyStore, database: Database) -> None:
    with pytest.raises(sa.exc.SQLAlchemyError):
        mint(store, "first")  # there is one
    entries, _ = Reading(database, TENANT).find(parse({}))
    assert len(entries) == 1


@pytest.mark.parametrize("given", [{"models": ("gpt-4o",)}, {"parent": "first"}])
def test_a_key_with_more_to_it_is_made_in_a_transaction_of_several(
    store: KeyStore, database: Database, given: dict[str, Any]
) -> None:
    sent = statements(database)
    mint(store, "more", **given)
    assert len(sent) > 1
    found = store.get("more")
    assert found is not None
    assert {name: getattr(found, name) for name in given} == given


def test_connections_that_the_server_ended_while_they_were_idle_cost_nobody_an_answer(
    store: KeyStore, url: str
) -> None:
    mint(store, "before")
    others = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
    with psycopg.connect(url, autocommit=True) as connection:
        assert connection.execute(f"SELECT pg_terminate_backend(pid) {others}".encode()).fetchall()
        until(lambda: not connection.execute(f"SELECT 1 {others}".encode()).fetchall(), what="they have ended")
    mint(store, "after")
    assert store.get("after") is not None


def test_nor_does_a_server_that_was_started_anew() -> None:
    server = PostgresServer()
    try:
        database = open_database(server.migrated())
        own = KeyStore(database, TENANT)
        mint(own, "first")
        mint(own, "second")
        server.halt()
        server.run()
        mint(own, "third")
        assert own.get("third") is not None
        database.stop()
    finally:
        server.stop()
