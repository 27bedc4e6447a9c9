"""PostgreSQL's driver, and connections on which every wait is bounded. Not loaded for an embedded store."""

from __future__ import annotations

import select
import time
from datetime import UTC, datetime
from typing import Any, Final

import psycopg
import sqlalchemy as sa
from psycopg.types.datetime import TimestamptzLoader

CONNECT_SECONDS: Final = 3
_INTERRUPTED_SECONDS: Final = 0.5
"""How often a wait looks for Ctrl-C. The driver's own tenth of a second wakes a thread that has nothing to do, and the
event loop pays for it."""


class BoundedConnection(psycopg.Connection[Any]):
    """A PostgreSQL connection on which no wait lasts longer than ``limit`` seconds by this side's clock.

    ``statement_timeout`` alone does not help when the server is stopped or unreachable: nobody is there to apply it.
    A connection that hit the limit is closed, its state is unknown.
    """

    limit: float | None = None

    def wait(self, gen: Any, interval: float = _INTERRUPTED_SECONDS, timeout: float | None = None) -> Any:
        """Run one database operation. Raises psycopg.OperationalError when the limit passes."""
        if timeout is not None or self.limit is None:
            return super().wait(gen, interval, timeout)
        started = time.monotonic()
        try:
            return super().wait(gen, interval, self.limit)
        except psycopg.OperationalError as fault:
            if time.monotonic() - started >= self.limit and fault.sqlstate is None:
                self.pgconn.finish()
                raise psycopg.OperationalError(f"no answer from PostgreSQL within {self.limit:g} s") from fault
            raise

    @property
    def spoken_to(self) -> bool:
        """Whether something waits to be read while nobody has asked anything: most likely that the server has ended the
        connection. To look is one system call, to ask the server was a tenth of what a mint took."""
        waiting = select.poll()
        waiting.register(self.pgconn.socket, select.POLLIN)
        return bool(waiting.poll(0))


def still_there(dialect: sa.Dialect, connection: BoundedConnection, *_pools: object) -> None:
    """Let a connection of the pool be used, or have all that are as old made anew."""
    if connection.closed or connection.spoken_to:
        try:
            dialect.do_ping(connection)  # type: ignore[arg-type]  # what it is in SQLAlchemy's terms, it is
        except psycopg.Error as fault:
            raise sa.exc.InvalidatePoolError from fault


class _AnyMoment(TimestamptzLoader):
    """``timestamptz`` with its values that Python has no datetime for, as the nearest that there is.

    ``infinity`` is PostgreSQL's own word for "never"; somebody who writes it into ``expires_at`` by hand must not make
    every statement fail that meets the row, the lookup of other keys with it.
    """

    def load(self, data: Any) -> datetime:
        """The moment."""
        try:
            return super().load(data)
        except psycopg.DataError:
            past = bytes(data).startswith(b"-") or bytes(data).endswith(b"BC")
            return datetime.min.replace(tzinfo=UTC) if past else datetime.max.replace(tzinfo=UTC)


def connect_postgres(
    url: str, limit: float | None, purpose: str = "", *, autocommit: bool = False
) -> BoundedConnection:
    """Connect, bounded. ``url`` is a libpq URI. ``limit`` is seconds for each statement, None for no limit.

    In ``pg_stat_activity`` the connection is called ``maas-api`` and its ``purpose``, unless the URL names it.
    """
    made = BoundedConnection.connect(
        url,
        autocommit=autocommit,
        connect_timeout=CONNECT_SECONDS,
        keepalives_idle=10,
        keepalives_interval=3,
        fallback_application_name=f"maas-api {purpose}".rstrip(),
    )
    made.limit = limit
    made.adapters.register_loader("timestamptz", _AnyMoment)
    return made


def lookup_connection(url: str, limit: float) -> BoundedConnection:
    """A connection that plans its one statement once. Planning anew each time took ten times as long as running it."""
    connection = connect_postgres(url, limit, "lookup", autocommit=True)
    connection.execute("SET plan_cache_mode = force_generic_plan")
    connection.execute("SET enable_seqscan = off")  # a plan made while the table is small must suit it when it is large
    connection.autocommit = False
    return connection
