"""Schema migrations, run by ``maas-api migrate`` and before the workers of ``maas-api serve`` start.

Three kinds of database are met:

* empty: the Go service's schema is made exactly as its migrations leave it, its ``schema_migrations`` row
  (version 6, not dirty) included, so that the Go service starts on it without a step of its own;
* the Go service's, at version 6: nothing of it changes, our own tables and indexes are added;
* ours: what is missing is added.

Our own version is in ``maas_schema_version``. Several processes may start at once: one migrates, the others wait for
its lock and then find nothing to do.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from maas_api.migrations import announcing, marking, settled
from maas_api.store.database import Database, open_database

VERSION_TABLE = "maas_schema_version"
GO_VERSION = 6
"""The version of the Go service's migrations that this service knows."""
NEWEST = "0010"
"""Our newest revision. Where the database says it has that one, Alembic (a third of a second of imports) is left be."""

LOCK = 0x6D616173_6B657973  # "maaskeys"
"""PostgreSQL's advisory lock of whoever migrates."""
_LOCK_POLL_SECONDS = 0.05
_log = logging.getLogger(__name__)


class MigrationError(Exception):
    """The database cannot be used as it is. The message says what was found and what to do."""


class UnreachableError(MigrationError):
    """The database does not answer."""


class AtStart:
    """Migrations as the first thing a worker process does, for servers that nobody migrated for before they started.

    A database that is up to date costs one query. One that does not answer is not waited for: it was migrated when
    this service was started, and a worker that starts again during an outage has to come up.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def start(self) -> None:
        """Upgrade where something is due. Raises MigrationError."""
        try:
            if pending(self._url):
                upgrade(self._url)
        except UnreachableError as fault:
            _log.warning("schema not checked", extra={"fault": str(fault)})

    def stop(self) -> None:
        """Nothing to stop."""


def upgrade(url: str) -> None:
    """Bring the database at ``url`` to the newest schema. Raises MigrationError."""
    database = open_database(url, statement_seconds=None)
    try:
        if database.postgres and settled.settled(database, NEWEST, GO_VERSION):
            return
        with database.engine.connect() as connection, _alone(connection):
            _check(connection)
            if _current(connection) != {NEWEST}:
                from maas_api.migrations import revisions  # imports Alembic, for those who need it

                revisions.upgrade(connection)
            connection.commit()
            if database.postgres:
                _concurrent_indexes(database)
                announcing.ensure(database)
            marking.ensure(database)
    except sa.exc.OperationalError as fault:
        raise UnreachableError(f"the database cannot be reached: {_first_line(fault)}") from fault
    finally:
        database.stop()


def pending(url: str) -> list[str]:
    """The revisions that :func:`upgrade` would apply, oldest first; makes no file to ask. Raises MigrationError."""
    file = sqlite_file(url)
    if file is not None and not file.exists():
        return _after(set())
    database = open_database(url, statement_seconds=None)
    try:
        with database.engine.connect() as connection:
            _check(connection)
            current = _current(connection)
            return [] if current == {NEWEST} else _after(current)
    except sa.exc.OperationalError as fault:
        raise UnreachableError(f"the database cannot be reached: {_first_line(fault)}") from fault
    finally:
        database.stop()


def sqlite_file(url: str) -> Path | None:
    """The file of an embedded database; None for PostgreSQL and for a database in memory."""
    parts = sa.make_url(url)
    in_file = parts.get_backend_name() == "sqlite" and parts.database not in (None, "", ":memory:")
    return Path(str(parts.database)) if in_file else None


def _after(current: set[str]) -> list[str]:
    from maas_api.migrations import revisions  # imports Alembic, for those who need it

    return revisions.after(current)


def _current(connection: sa.Connection) -> set[str]:
    """The newest revision that the database has; empty before the first."""
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return set()
    table = sa.table(VERSION_TABLE, sa.column("version_num", sa.Text))
    return set(connection.execute(sa.select(table.c.version_num)).scalars())


@contextmanager
def _alone(connection: sa.Connection) -> Iterator[None]:
    """Hold the one lock of migrations. On SQLite the transaction is the lock: it begins IMMEDIATE.

    The lock is asked for again and again and never waited for inside a statement: a waiting statement holds a
    snapshot, and whoever has the lock may be building an index CONCURRENTLY, which waits for every snapshot to end.
    """
    if connection.dialect.name != "postgresql":
        yield
        return
    while True:
        got = connection.execute(sa.text("SELECT pg_try_advisory_lock(:key)"), {"key": LOCK}).scalar()
        connection.rollback()
        if got:
            break
        time.sleep(_LOCK_POLL_SECONDS)
    try:
        yield
    finally:
        connection.rollback()
        connection.execute(sa.text("SELECT pg_advisory_unlock(:key)"), {"key": LOCK})
        connection.commit()


def _check(connection: sa.Connection) -> None:
    """Refuse a database that the Go service left half-way, or at a version without the columns used here."""
    if not sa.inspect(connection).has_table("schema_migrations"):
        if sa.inspect(connection).has_table("api_keys") and not _current(connection):
            raise MigrationError(
                "the database has a table api_keys that neither this service nor the Go service made; "
                "give this service a database of its own"
            )
        return
    row = connection.exec_driver_sql("SELECT version, dirty FROM schema_migrations").first()
    if row is None:
        raise MigrationError("schema_migrations is empty: the Go service's migrations have not run to their end")
    version, dirty = row
    if dirty:
        raise MigrationError(
            f"schema_migrations says version {version} failed half-way (dirty); repair it with the Go service first"
        )
    if version < GO_VERSION:
        raise MigrationError(
            f"schema_migrations is at version {version}, {GO_VERSION} is needed: start the newest Go service once"
        )
    if version > GO_VERSION:
        columns = {column["name"] for column in sa.inspect(connection).get_columns("api_keys")}
        missing = sorted({"id", "key_hash", "status", "user_groups", "subscription", "tenant", "labels"} - columns)
        if missing:
            raise MigrationError(f"schema_migrations is at version {version} and api_keys lacks {', '.join(missing)}")
        _log.warning("database is newer than this service knows", extra={"version": version, "known": GO_VERSION})


def _concurrent_indexes(database: Database) -> None:
    """Indexes on the Go service's table, made without blocking its writes. Each start looks, as that service does.

    An index that an interrupted build left invalid is dropped and made anew.
    """
    from maas_api.migrations.indexes import POSTGRES  # beside the revisions, so that they are reviewed together

    with database.reading() as connection:
        for name, definition in POSTGRES:
            found = connection.execute(
                sa.text(
                    "SELECT i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
                    " JOIN pg_namespace n ON n.oid = c.relnamespace"
                    " WHERE c.relname = :name AND n.nspname = current_schema()"
                ),
                {"name": name},
            ).scalar()
            if found:
                continue
            if found is False:
                connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            connection.exec_driver_sql(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON api_keys {definition}")


def _first_line(fault: sa.exc.DBAPIError) -> str:
    """The driver's sentence, without the statement, its parameters and anything that looks like a password."""
    text = str(fault.orig).strip().splitlines()[0] if str(fault.orig).strip() else type(fault.orig).__name__
    return re.sub(r"://[^@\s]*@", "://...@", text)
