"""Connections to the store, with every wait bounded.

========================  =========  ============================================================================
wait                      limit      why
========================  =========  ============================================================================
PostgreSQL connect        3 s        a stopped server still accepts TCP; without a limit a thread would hang
one statement             5 s        on the client's clock too, because a stopped server enforces no timeout
a free connection         2 s        longer waits only move the queue from the caller into this service
SQLite's write lock       5 s        writers take turns; each holds the lock for about a millisecond
========================  =========  ============================================================================

The validation lookup has a connection of its own with a far shorter limit (:mod:`maas_api.validation.lookup`).
"""

from __future__ import annotations

import contextlib
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.pool import NullPool, QueuePool

STATEMENT_SECONDS: Final = 5.0
POOL_WAIT_SECONDS: Final = 2.0
SQLITE_BUSY_SECONDS: Final = 5.0

_SQLITE_READ = {"maas_begin": "BEGIN"}
_POSTGRES_READ = {"isolation_level": "AUTOCOMMIT"}


class Database:
    """One store: an engine, and how to read and write through it. Connects on first use."""

    def __init__(self, engine: sa.Engine, url: str) -> None:
        self.engine = engine
        self.url = url
        self.postgres = engine.dialect.name == "postgresql"
        self._line = threading.Lock()
        self._reader = engine.execution_options(**(_POSTGRES_READ if self.postgres else _SQLITE_READ))

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection for statements that change nothing."""
        with self._reader.connect() as connection:
            yield connection

    @contextmanager
    def at_once(self) -> Iterator[sa.Connection]:
        """PostgreSQL: a connection on which each statement is a transaction by itself, committed when it is done."""
        with self._reader.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction, committed on success. On SQLite it holds the write lock from its beginning."""
        with self._turn(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """SQLite's writers look now and then whether it is their turn, and of many some never find it: those of one
        process wait in a line before that."""
        mine = not self.postgres and self._line.acquire(timeout=SQLITE_BUSY_SECONDS)
        try:
            yield
        finally:
            if mine:
                self._line.release()

    def reader(self) -> sa.Connection:
        """A reading connection that the caller keeps and closes."""
        return self._reader.connect()

    def start(self) -> None:
        """Nothing: connections are made when they are needed."""

    def stop(self) -> None:
        """Close idle connections."""
        self.engine.dispose()


def normal_url(url: str) -> str:
    """The URL in the one spelling used here: ``postgresql://`` as libpq reads it, or ``sqlite:///path``."""
    return "postgresql://" + url.removeprefix("postgres://") if url.startswith("postgres://") else url


def open_database(
    url: str,
    *,
    max_open: int = 25,
    max_idle: int = 5,
    max_lifetime: int = 300,
    statement_seconds: float | None = STATEMENT_SECONDS,
) -> Database:
    """The store at ``url``. Sizes are connections of one process, ``max_lifetime`` is seconds."""
    url = normal_url(url)
    if url.startswith("postgresql://"):
        from maas_api.store.postgres import connect_postgres, still_there  # the driver, where it is the store's

        idle = max(1, min(max_idle, max_open))
        engine = sa.create_engine(
            "postgresql+psycopg://",
            creator=lambda: connect_postgres(url, statement_seconds),
            poolclass=QueuePool,
            pool_size=idle,
            max_overflow=max_open - idle,
            pool_timeout=POOL_WAIT_SECONDS,
            pool_recycle=max_lifetime,
        )
        event.listen(engine, "checkout", partial(still_there, engine.dialect))
    else:
        engine = _sqlite(Path(url.removeprefix("sqlite:///")))
    return Database(engine, url)


def lookup_database(url: str, statement_seconds: float) -> Database:
    """The same store for one thread that keeps its connection; statements there have their own, short limit."""
    url = normal_url(url)
    if url.startswith("postgresql://"):
        from maas_api.store.postgres import lookup_connection

        engine = sa.create_engine(
            "postgresql+psycopg://", creator=lambda: lookup_connection(url, statement_seconds), poolclass=NullPool
        )
    else:
        engine = _sqlite(Path(url.removeprefix("sqlite:///")))
    return Database(engine, url)


def sqlite_connection(path: Path) -> sqlite3.Connection:
    """A connection in WAL mode: readers never wait for the writer. Commits are durable (``synchronous=FULL``).

    The file is this user's alone, and so are the files that SQLite puts beside it, which take over its mode.
    """
    _make_private(path)
    connection = sqlite3.connect(path, timeout=SQLITE_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _prepare(connection)
    except BaseException:  # not a database, for one: nobody else knows of the connection yet
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    deadline = time.monotonic() + SQLITE_BUSY_SECONDS
    while True:  # a new file's switch to WAL needs it alone, and SQLite's own waiting does not cover that
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.005)
    connection.execute("PRAGMA synchronous=FULL")


def _make_private(path: Path) -> None:
    """Owners, groups and hashes are nobody else's to read: 0600, and 0700 for a folder that is made for it.

    By name and never by opening it: closing any descriptor of a file ends the locks that this process has on it.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600, exist_ok=False)
    except FileExistsError:
        for found in (path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))):
            _take_from_others(found)
    except OSError:
        return  # SQLite says what is wrong with the place


def _take_from_others(path: Path) -> None:
    with contextlib.suppress(OSError):  # gone meanwhile, or somebody else's
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            path.chmod(mode & 0o600)


def _sqlite(path: Path) -> sa.Engine:
    engine = sa.create_engine("sqlite://", creator=lambda: sqlite_connection(path), poolclass=QueuePool)

    @event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # Writers take the lock at once: a transaction that reads first and then wants to write could not be retried.
        connection.exec_driver_sql(connection.get_execution_options().get("maas_begin", "BEGIN IMMEDIATE"))

    return engine
