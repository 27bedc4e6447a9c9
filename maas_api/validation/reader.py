"""The statement behind a validation: rows by hash, turned into verdicts. Reads only."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from maas_api.keys.budget import stored
from maas_api.keys.lineage import Above
from maas_api.keys.lineage import above as read_above
from maas_api.keys.statements.rows import ALLOW_LIST, BUDGETS, MARK, above, lost
from maas_api.observability import metrics
from maas_api.store.database import Database
from maas_api.store.tables import Moment, api_keys, old_secrets
from maas_api.validation import verdict
from maas_api.validation.verdict import Verdict

_log = logging.getLogger(__name__)


class StoreDownError(Exception):
    """The store did not answer, or not in time."""


class Verdicts(dict[str, Verdict]):
    """Verdicts by hash; None for a hash whose row cannot be read."""

    def __missing__(self, key_hash: str) -> None:
        return None


_OF_DATA = (sa.exc.DataError, sa.exc.ProgrammingError, sa.exc.InternalError)
"""What PostgreSQL says of a value it cannot compute or a page it cannot read; of a missing table or right as well."""
_NO_PARENTS = Above()
_SAID_MAX = 100  # keys whose rows are reported as unreadable
_NOBODYS = "0" * 64  # no secret hashes to it, so a statement that fails for it does not fail for a row


class Reader(Protocol):
    """Gives verdicts for hashes. Used by one thread at a time."""

    def fetch(self, hashes: Sequence[str]) -> Mapping[str, Verdict]:
        """A verdict for every hash, none for one whose row cannot be read. Raises StoreDownError.

        Asked for a hash that is left out, the mapping gives None, which stands for a transient fault.
        """

    def probe(self) -> None:
        """Make sure that the store answers. Raises StoreDownError."""

    def close(self) -> None:
        """Let go of the connection."""


def lookup_statement(postgres: bool) -> sa.Select[Any] | sa.CompoundSelect[Any]:
    """Rows of ``api_keys`` by current or replaced secret. Parameters: ``tenant``, ``hashes`` (a list)."""
    keys, old = api_keys.c, old_secrets.c
    known = (keys.id, keys.name, keys.username, keys.user_groups, keys.subscription, keys.status, keys.expires_at)
    columns = (*known, ALLOW_LIST, BUDGETS, MARK, above(postgres))
    tenant = sa.bindparam("tenant", type_=sa.Text)
    never = sa.type_coerce(sa.null(), Moment).label("replaced_until")
    current = sa.select(keys.key_hash.label("hash"), *columns, never).where(
        keys.tenant == tenant, among(keys.key_hash, "hashes", postgres)
    )
    replaced = (
        sa.select(old.key_hash.label("hash"), *columns, old.expires_at.label("replaced_until"))
        .join_from(old_secrets, api_keys, old.key_id == keys.id)
        .where(old.tenant == tenant, keys.tenant == tenant, among(old.key_hash, "hashes", postgres))
    )
    return sa.union_all(current, replaced)


def among(column: sa.ColumnElement[str], parameter: str, postgres: bool) -> sa.ColumnElement[bool]:
    """``column`` is one of a list given as one parameter, so that the statement's text never changes."""
    if postgres:
        return column == sa.any_(sa.bindparam(parameter, type_=postgresql.ARRAY(sa.Text)))
    listed = sa.func.json_each(sa.bindparam(parameter, type_=sa.JSON)).table_valued("value")
    return column.in_(sa.select(listed.c.value))


class KeyReader:
    """Reads over one kept connection, remade after a fault."""

    def __init__(
        self,
        database: Database,
        tenant: str,
        *,
        on_expired: Callable[[str], None] = lambda _key_id: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._tenant = tenant
        self._on_expired = on_expired
        self._now = now
        self._statement = lookup_statement(database.postgres)
        # psycopg gives the columns in the types wanted; SQLite's text needs SQLAlchemy's.
        self._sql = str(self._statement.compile(database.engine)) if database.postgres else ""
        self._connection: sa.Connection | None = None
        self._cursor: Any = None  # psycopg's, kept with the connection
        self._said: set[str] = set()

    def fetch(self, hashes: Sequence[str]) -> Verdicts:
        """A verdict for every hash: ``key not found`` where there is no row. Raises StoreDownError.

        A row that cannot be read, because somebody wrote it by hand or the disk did, must not take down the keys that
        happen to be asked for with it: the hashes are then asked for in halves until it stands alone.
        """
        try:
            return self._verdicts(hashes)
        except Exception as fault:
            if isinstance(fault, sa.exc.SQLAlchemyError) and not isinstance(fault, _OF_DATA):
                raise self._down(fault) from fault
            self.probe()  # raises where it is the statement itself that fails
            if len(hashes) < 2:
                self._unreadable(hashes, fault)
                return Verdicts()
        middle = len(hashes) // 2
        return Verdicts({**self.fetch(hashes[:middle]), **self.fetch(hashes[middle:])})

    def probe(self) -> None:
        """Connect where needed and ask for nothing. Raises StoreDownError."""
        try:
            self._rows([_NOBODYS])
        except sa.exc.SQLAlchemyError as fault:
            raise self._down(fault) from fault

    def close(self) -> None:
        """Drop the connection."""
        connection, self._connection, self._cursor = self._connection, None, None
        if connection is not None:
            connection.invalidate()
            connection.close()

    def _verdicts(self, hashes: Sequence[str]) -> Verdicts:
        rows = self._rows(hashes)
        found: dict[str, Verdict] = {}
        now = self._now()
        for row in rows:
            found[row[0]] = self._judge(row, now)
        return Verdicts({key_hash: found.get(key_hash, verdict.NOT_FOUND) for key_hash in hashes})

    def _unreadable(self, hashes: Sequence[str], fault: Exception) -> None:
        """Count it, and say it once for each key: whoever holds the key may present it as often as they like."""
        metrics.store_errors.labels("lookup").inc()
        if not self._said.issuperset(hashes) and len(self._said) < _SAID_MAX:
            self._said.update(hashes)
            _log.error(
                "a key's row cannot be read, nobody is told whether it is valid", extra={"fault": type(fault).__name__}
            )

    def _down(self, fault: sa.exc.SQLAlchemyError) -> StoreDownError:
        self.close()
        return StoreDownError(type(fault).__name__)

    def _rows(self, hashes: Sequence[str]) -> Sequence[Sequence[Any]]:
        if self._connection is None:
            self._connection = self._database.reader()
            if self._sql:
                self._cursor = self._connection.connection.cursor()
        parameters = {"tenant": self._tenant, "hashes": list(hashes)}
        if self._cursor is not None:
            return self._fetched(self._cursor, parameters)
        try:
            return self._connection.execute(self._statement, parameters).all()
        finally:
            self._connection.rollback()

    def _fetched(self, cursor: Any, parameters: dict[str, Any]) -> Sequence[Sequence[Any]]:
        """The rows by psycopg alone: to make SQLAlchemy's result of them took twice as long as all the rest. The
        connection commits each statement by itself. Raises what SQLAlchemy would."""
        import psycopg  # the driver, where it is the store's

        try:
            cursor.execute(self._sql, parameters)
            rows: Sequence[Sequence[Any]] = cursor.fetchall()
        except psycopg.Error as fault:
            raise sa.exc.DBAPIError.instance(
                self._sql, None, fault, psycopg.Error, hide_parameters=True, dialect=self._database.engine.dialect
            ) from fault
        return rows

    def _judge(self, row: Sequence[Any], now: datetime) -> Verdict:
        # By place, in the order of the statement's columns: by name each costs as much as all of them.
        _hash, key_id, name, username, groups, subscription, status, ends, models, budgets, mark, parents, replaced = (
            row
        )
        if status != "active":
            return verdict.REVOKED_OR_EXPIRED
        if ends is not None and ends < now:
            self._on_expired(key_id)
            return verdict.REVOKED_OR_EXPIRED
        if replaced is not None:
            if replaced < now:
                return verdict.REVOKED_OR_EXPIRED
            ends = replaced if ends is None else min(ends, replaced)
        until, over = None if ends is None else ends.timestamp(), _NO_PARENTS
        if parents is not None:
            over = read_above(parents, now.timestamp())
            if not over.good:
                return verdict.REVOKED_OR_EXPIRED
            until = over.until if until is None else until if over.until is None else min(until, over.until)
        if not subscription:
            return verdict.no_subscription(key_id)
        if mark is not None and lost(mark, models, budgets, parents):
            return verdict.limits_lost(key_id)
        return verdict.accepted(
            key_id=key_id,
            key_name=name,
            username=username,
            groups=tuple(groups),
            subscription=subscription,
            tenant=self._tenant,
            models=None if models is None else tuple(models),
            expires_at=until,
            budgets=stored(budgets) if budgets else (),
            parents=over.ids,
        )
