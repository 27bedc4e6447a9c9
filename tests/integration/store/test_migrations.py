"""One database, two services: whichever starts first, the other finds what it needs."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import subprocess
import sys
import uuid
from pathlib import Path

import psycopg
import pytest

from maas_api import migrations
from maas_api.keys import format as key_format
from maas_api.keys.statements.store import KeyStore
from maas_api.migrations import revisions
from maas_api.store.database import open_database, sqlite_connection
from maas_api.validation.reader import KeyReader
from tests.support.go_service import GoService
from tests.support.postgres import PostgresServer

TENANT = "models-as-a-service"


def test_an_empty_database_gets_exactly_the_go_service_s_schema(postgres: PostgresServer) -> None:
    ours, theirs = postgres.empty(), postgres.empty()
    migrations.upgrade(ours)
    GoService(theirs).migrate()
    found, expected = GoService(ours).schema(), GoService(theirs).schema()
    assert found == expected
    assert found["version"] == [(6, False)]


def test_the_go_service_starts_on_our_database_and_has_nothing_to_migrate(postgres: PostgresServer) -> None:
    url = postgres.migrated()
    before = GoService(url).schema()
    GoService(url).migrate()
    assert GoService(url).schema() == before


def test_on_the_go_service_s_database_nothing_of_it_changes(postgres: PostgresServer) -> None:
    url = postgres.empty()
    go = GoService(url)
    go.migrate()
    key = key_format.make()
    key_id = str(uuid.uuid4())
    go.mint(id=key_id, username="ann", name="n", key_hash=key.hash, user_groups=["g"], subscription="s")
    before, row = go.schema(), go.lookup(key.hash)
    migrations.upgrade(url)
    assert go.schema() == before
    assert go.lookup(key.hash) == row


def test_each_service_validates_and_revokes_what_the_other_minted(postgres: PostgresServer) -> None:
    url = postgres.migrated()
    go, database = GoService(url), open_database(url)
    store, reader = KeyStore(database, TENANT), KeyReader(database, TENANT)
    theirs = hashlib.sha256(b"id\0secret").hexdigest()
    their_id = str(uuid.uuid4())
    go.mint(id=their_id, username="ann", name="n", key_hash=theirs, user_groups=["g", "h"], subscription="s")
    verdict = reader.fetch([theirs])[theirs]
    assert (verdict.valid, verdict.key_id, verdict.groups) == (True, their_id, ("g", "h"))
    assert store.revoke(their_id) is not None
    found = go.lookup(theirs)
    assert found is not None
    assert found["status"] == "revoked"
    reader.close()
    database.stop()


def test_migrating_twice_changes_nothing(postgres: PostgresServer) -> None:
    url = postgres.migrated()
    assert migrations.pending(url) == []
    migrations.upgrade(url)
    assert GoService(url).schema()["version"] == [(6, False)]


def test_a_start_with_nothing_to_migrate_waits_for_nobody_who_does(postgres: PostgresServer) -> None:
    url = postgres.migrated()
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", (migrations.LOCK,))
        migrations.upgrade(url)


@pytest.mark.parametrize(
    ("damage", "mended"),
    [
        ("DROP TRIGGER maas_announce_key ON api_keys", "SELECT FROM pg_trigger WHERE tgname = 'maas_announce_key'"),
        (
            "CREATE OR REPLACE FUNCTION maas_announce_key() RETURNS trigger LANGUAGE plpgsql"
            " AS 'BEGIN RETURN NULL; END'",
            "SELECT FROM pg_proc WHERE proname = 'maas_announce_key' AND prosrc LIKE '%pg_notify%'",
        ),
        ("DROP INDEX maas_api_keys_by_name", "SELECT FROM pg_class WHERE relname = 'maas_api_keys_by_name'"),
        (
            "UPDATE maas_schema_version SET version_num = '0009'; DROP TABLE maas_key_parents",
            "SELECT FROM pg_class WHERE relname = 'maas_key_parents'",
        ),
    ],
    ids=["trigger", "function", "index", "revision"],
)
def test_one_thing_missing_is_seen_among_all_that_is_there(postgres: PostgresServer, damage: str, mended: str) -> None:
    url = postgres.migrated()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(damage.encode())
        assert connection.execute(mended.encode()).fetchone() is None
        migrations.upgrade(url)
        assert connection.execute(mended.encode()).fetchone() is not None


@pytest.mark.parametrize("kind", ["postgresql", "sqlite"])
def test_processes_that_start_at_once_migrate_once(kind: str, postgres: PostgresServer, tmp_path: Path) -> None:
    url = postgres.empty() if kind == "postgresql" else f"sqlite:///{tmp_path / 'keys.db'}"
    command = [sys.executable, "-c", f"from maas_api.migrations import upgrade; upgrade({url!r})"]
    started = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    assert migrations.pending(url) == []


def test_an_index_that_an_interrupted_build_left_invalid_is_made_anew(postgres: PostgresServer) -> None:
    url = postgres.migrated()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'idx_api_keys_labels_gin'::regclass"
        )
        migrations.upgrade(url)
        row = connection.execute(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = 'idx_api_keys_labels_gin'::regclass"
        ).fetchone()
    assert row == (True,)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE schema_migrations SET dirty = TRUE", "failed half-way"),
        ("UPDATE schema_migrations SET version = 5", "6 is needed"),
        ("DELETE FROM schema_migrations", "is empty"),
        ("UPDATE schema_migrations SET version = 7; ALTER TABLE api_keys DROP COLUMN labels", "lacks labels"),
    ],
)
def test_a_database_in_a_state_nobody_planned_is_refused(postgres: PostgresServer, statement: str, said: str) -> None:
    url = postgres.empty()
    GoService(url).migrate()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())
    with pytest.raises(migrations.MigrationError, match=said):
        migrations.upgrade(url)


def test_somebody_else_s_table_is_left_alone(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE api_keys (id TEXT)")
    with pytest.raises(migrations.MigrationError, match="database of its own"):
        migrations.upgrade(f"sqlite:///{tmp_path / 'other.db'}")


def test_a_file_that_is_no_database_leaves_no_connection_behind(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_text("not a database, " * 100)

    class Watched(sqlite3.Connection):
        def close(self) -> None:
            closed.append(True)
            super().close()

    closed: list[bool] = []
    with pytest.MonkeyPatch.context() as patch:
        real = sqlite3.connect
        patch.setattr("sqlite3.connect", lambda *args, **more: real(*args, **more, factory=Watched))
        with pytest.raises(sqlite3.DatabaseError, match="not a database"):
            sqlite_connection(path)
    assert closed


def test_a_database_that_does_not_answer_is_named_without_its_password(postgres: PostgresServer) -> None:
    url = f"postgresql://nobody:hunter2@127.0.0.1:{postgres.port}/missing"
    with pytest.raises(migrations.UnreachableError) as raised:
        migrations.upgrade(url)
    assert "missing" in str(raised.value) or "nobody" in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_the_newest_revision_is_the_one_a_start_looks_for() -> None:
    assert revisions.newest() == migrations.NEWEST


def test_a_database_that_is_up_to_date_is_left_without_alembic(tmp_path: Path) -> None:
    """A start takes a third of a second less: most starts find nothing to do."""
    url = f"sqlite:///{tmp_path / 'keys.db'}"
    migrations.upgrade(url)
    code = (
        "import sys; from maas_api import migrations;"
        f"migrations.upgrade({url!r}); assert migrations.pending({url!r}) == [];"
        "sys.exit('alembic' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
