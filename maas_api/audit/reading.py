"""Reading the audit: each question by an index, newest first. And forgetting what is old."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from maas_api.audit.query import Query
from maas_api.audit.record import Entry
from maas_api.audit.tables import KEYS, NAME, audit, audit_keys
from maas_api.store import months
from maas_api.store.database import Database

SHOWN_MAX: Final = 1_000
"""Most key ids that are shown of one record; its count is whole, and ``key`` finds it by any of them."""
_DELETED_AT_ONCE: Final = 500
_FEW: Final = 20  # a page of a thousand such records has at most so many thousand ids
_COLUMN: Final = {"viaKey": "via_key", "requestId": "request_id"}


class Reading:
    """The records of one tenant. Every method raises sqlalchemy.exc.SQLAlchemyError when the store fails."""

    def __init__(
        self, database: Database, tenant: str, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._database = database
        self._tenant = tenant
        self.now = now

    def find(self, query: Query) -> tuple[list[Entry], bool]:
        """One page, and whether there is more."""
        with self._planned() as connection:
            rows = connection.execute(statement(query, self._tenant)).all()
            page = rows[: query.limit]
            ids = _ids(connection, {row.id: (row.keys_, row.at) for row in page if row.keys_})
        return [
            Entry(
                row.id, row.at, row.tenant, row.action, row.outcome, row.actor, row.via, row.via_key, row.owner,
                row.keys_, ids.get(row.id, ()), row.request_id, row.details,
            )
            for row in page
        ], len(rows) > query.limit  # fmt: skip

    @contextmanager
    def _planned(self) -> Iterator[sa.Connection]:
        """A connection whose statements are planned for their values: a plan for any value walks back through time, a
        million records long, for one that is rare."""
        if not self._database.postgres:
            with self._database.reading() as connection:
                yield connection
            return
        with self._database.engine.begin() as connection:
            connection.exec_driver_sql("SET LOCAL plan_cache_mode = force_custom_plan")
            yield connection

    def forget(self, before: datetime | None) -> int:
        """Delete records of before ``before`` (None keeps them). Gives how many parts went.

        On PostgreSQL a month goes once all of it is that old; on SQLite rows go a few at a time. Nobody waits for it.
        """
        if self._database.postgres:
            month = months.month_of(self.now())
            for table in (NAME, KEYS):
                for moment in (month, months.next_month(month)):
                    with self._database.writing() as connection:
                        months.ensure(connection, table, moment, fill=100)
            if before is None:
                return 0
            return sum(len(months.drop_before(self._database.engine, table, before)) for table in (NAME, KEYS))
        if before is None:
            return 0
        return sum(self._delete(table, before) for table in (audit_keys, audit))

    def _delete(self, table: sa.Table, before: datetime) -> int:
        deleted, row = 0, sa.literal_column("rowid", sa.Integer)
        while True:
            with self._database.writing() as connection:
                old = sa.select(row).select_from(table).where(table.c.at < before).limit(_DELETED_AT_ONCE)
                done = connection.execute(sa.delete(table).where(row.in_(old))).rowcount
            deleted += done
            if done < _DELETED_AT_ONCE:
                return deleted


def statement(query: Query, tenant: str) -> sa.Select[Any]:
    """One page and one row more, which tells whether there is another page."""
    columns = audit.c
    listed = [column.label("keys_") if column.name == "keys" else column for column in columns]  # a row has keys()
    found = sa.select(*listed)
    at, record_id = columns.at, columns.id
    only = {_COLUMN.get(name, name): value for name, value in query.only.items()} | {"tenant": tenant}
    key = only.pop("key", None)
    if key is not None:
        at, record_id = audit_keys.c.at, audit_keys.c.audit_id
        same = sa.and_(columns.id == record_id, columns.at == at)
        found = found.select_from(audit_keys.join(audit, same)).where(audit_keys.c.key_id == key)
    for name, value in only.items():
        # A key has few records: each is looked up by its id, and no other index may be thought of.
        found = found.where((columns[name] if key is None else columns[name].concat("")) == value)
    if query.start is not None:
        found = found.where(at >= query.start)
    if query.end is not None:
        found = found.where(at < query.end)
    if query.after is not None:
        moment = sa.bindparam("after_at", query.after[0], type_=columns.at.type)
        found = found.where(sa.tuple_(at, record_id) < sa.tuple_(moment, sa.literal(query.after[1])))
    return found.order_by(at.desc(), record_id.desc()).limit(query.limit + 1)


def _ids(connection: sa.Connection, records: Mapping[str, tuple[int, datetime]]) -> dict[str, tuple[str, ...]]:
    """The key ids of records, given how many each has and when it was made: of all with a few in one statement."""
    columns = audit_keys.c
    found: dict[str, list[str]] = {}
    few = [record_id for record_id, (count, _at) in records.items() if count <= _FEW]
    if few:
        moments = [records[record_id][1] for record_id in few]
        asked = sa.select(columns.audit_id, columns.key_id).where(
            columns.audit_id.in_(few), columns.at >= min(moments), columns.at <= max(moments)
        )
        for record_id, key_id in connection.execute(asked.order_by(columns.key_id)):
            found.setdefault(record_id, []).append(key_id)
    for record_id in records.keys() - few:
        asked_one = sa.select(columns.key_id).where(columns.audit_id == record_id, columns.at == records[record_id][1])
        found[record_id] = list(connection.execute(asked_one.order_by(columns.key_id).limit(SHOWN_MAX)).scalars())
    return {record_id: tuple(key_ids) for record_id, key_ids in found.items()}
