"""Reading the sums: one statement for a question, by an index whatever is asked."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from maas_api.store.database import Database
from maas_api.usage.query import Query
from maas_api.usage.record import Counts
from maas_api.usage.report import KeyName, Sum
from maas_api.usage.statements.tables import keys, usage

ROWS_MAX: Final = 50_000
"""Most rows that are added up outside the store for one answer."""

_EXACT: Final = 2**53
"""Below it a sum of whole numbers in double precision is exact."""

_COLUMNS: Final = {"key": "key_id", "user": "username"}
"""Dimensions whose column is called otherwise."""
_DAY: Final[sa.ColumnClause[Any]] = sa.literal_column("interval '1 day'")
_EPOCH: Final[sa.ColumnClause[Any]] = sa.literal_column("timestamptz 'epoch'")
_DIGITS: Final = {"hour": 13, "day": 10, "month": 7}
"""How much of SQLite's text of a time tells the interval."""


class TooManyError(Exception):
    """The answer would have more than ROWS_MAX rows."""


class Reading:
    """Reads the sums of one tenant. Every method raises sqlalchemy.exc.SQLAlchemyError when the store fails."""

    def __init__(self, database: Database, tenant: str) -> None:
        self._database = database
        self._tenant = tenant

    def sums(self, query: Query) -> list[Sum]:
        """The sums asked for, in no order. Raises TooManyError."""
        found = self._rows(query, exact=False)
        first = len(query.group_by) + 1
        if any(max(column) >= _EXACT for column in list(zip(*found, strict=True))[first:]):
            found = self._rows(query, exact=True)
        starts = {row[0] for row in found}
        moments: dict[Any, datetime | None] = {start: _moment(query.interval, start) for start in starts}
        return [Sum(moments[row[0]], row[1:first], Counts._make(row[first:])) for row in found]

    def _rows(self, query: Query, *, exact: bool) -> Sequence[sa.Row[Any]]:
        made = statement(query, self._tenant, postgres=self._database.postgres, exact=exact)
        with self._database.reading() as connection:
            found = connection.execute(made).all()
        if len(found) > ROWS_MAX:
            raise TooManyError
        return found

    def names(self, key_ids: Collection[str]) -> Mapping[str, KeyName]:
        """What these keys are or were called; keys that were never used are left out."""
        if not key_ids:
            return {}
        asked = sa.select(keys.c.key_id, keys.c.name, keys.c.username, keys.c.subscription, keys.c.labels).where(
            keys.c.tenant == self._tenant, keys.c.key_id.in_(sorted(key_ids))
        )
        with self._database.reading() as connection:
            return {
                key_id: KeyName(name, username, subscription, labels or {})
                for key_id, name, username, subscription, labels in connection.execute(asked)
            }


def statement(query: Query, tenant: str, *, postgres: bool, exact: bool = False) -> sa.Select[Any]:
    """The sums of a query; the beginning of the interval, the dimensions, then the counts. ``exact``: also where a sum
    is _EXACT or more, which costs twice as much."""
    columns = usage.c
    conditions = [columns.tenant == tenant, columns.hour >= query.start, columns.hour < query.end]
    for name, values in query.only.items():
        column = column_of(name)
        conditions.append(column == values[0] if len(values) == 1 else column.in_(values))
    start = _interval(query.interval, postgres=postgres)
    groups = [column_of(name) for name in query.group_by]
    by = groups if query.interval == "total" else [start, *groups]
    shown = _seconds(start) if postgres and query.interval != "total" else start
    return (
        sa.select(
            shown.label("start"),
            *groups,
            *(_sum(columns[name], postgres=postgres and not exact) for name in Counts._fields),
        )
        .where(*conditions)
        .group_by(*by)
        # Without any GROUP BY there is one row even of nothing.
        .having(sa.func.count() > 0)
        .limit(ROWS_MAX + 1)
    )


def column_of(dimension: str) -> sa.ColumnElement[str]:
    """The column that holds a dimension."""
    return usage.c[_COLUMNS.get(dimension, dimension)]


def _sum(column: sa.ColumnElement[int], *, postgres: bool) -> sa.ColumnElement[int]:
    """The sum as a whole number.

    PostgreSQL adds bigint up in an object of its own for each sum, and double precision in a register: half the time
    for a month of a million rows, and the same result below _EXACT.
    """
    added = sa.func.sum(sa.cast(column, sa.Double)) if postgres else sa.func.sum(column)
    return sa.cast(added, sa.BigInteger)


def _interval(interval: str, *, postgres: bool) -> sa.ColumnElement[Any]:
    if interval == "total":
        return sa.null()
    if not postgres:
        return sa.func.substr(sa.type_coerce(usage.c.hour, sa.Text), 1, sa.literal_column(str(_DIGITS[interval])))
    if interval == "hour":
        return usage.c.hour
    if interval == "day":  # plain arithmetic; date_trunc asks the time zone's rules for every row
        return sa.func.date_bin(_DAY, usage.c.hour, _EPOCH)
    return sa.func.date_trunc(sa.literal_column(f"'{interval}'"), usage.c.hour, sa.literal_column("'UTC'"))


def _seconds(moment: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
    """Unix seconds: a number is read faster than a time, and there is one for every row."""
    return sa.cast(sa.extract("epoch", moment), sa.BigInteger)


def _moment(interval: str, start: Any) -> datetime | None:
    if start is None:
        return None
    if isinstance(start, int):
        return datetime.fromtimestamp(start, UTC)
    text = str(start) + {"month": "-01", "hour": ":00"}.get(interval, "")
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
