"""Writing the audit: in the transaction of what is recorded, so that there are both or neither."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import sqlalchemy as sa

from maas_api.audit import record
from maas_api.audit.origin import ORIGIN, Origin
from maas_api.audit.record import Draft, Entry
from maas_api.audit.tables import KEYS, NAME, audit
from maas_api.observability import metrics
from maas_api.observability.logs import user_hash
from maas_api.observability.redaction import REDACTOR
from maas_api.observability.requests import CONTEXT
from maas_api.store import months
from maas_api.store.database import Database
from maas_api.store.tables import Moment

_log = logging.getLogger("maas_api.audit")

_TEXT_MAX: Final = 1_000
_FILL: Final = 100  # nothing is ever changed in a record

_FIELDS: Final = {"name": "key_name"}
"""Details whose names a log line has for something else."""

_RECORD: Final = sa.insert(audit)
_KEYS_SQLITE: Final = sa.text(
    "INSERT INTO maas_audit_keys (audit_id, key_id, at) SELECT CAST(:id AS text), value, :at FROM json_each(:ids)"
).bindparams(sa.bindparam("at", type_=Moment))

_PREFIX: Final = "audit_"  # of a record's parameters beside those of the change


def beside(change: str) -> str:
    """A statement for psycopg that makes a change and records it: ``change`` with its own parameters, none of which
    begins with ``audit_``. By itself it is a transaction, in one round trip."""
    columns = [column.name for column in audit.c]
    return f"""
        WITH record AS (
            INSERT INTO maas_audit ({", ".join(columns)})
            VALUES ({", ".join(f"%({_PREFIX}{name})s" for name in columns)})
        ), named AS (
            INSERT INTO maas_audit_keys (audit_id, key_id, at)
            SELECT CAST(%(audit_id)s AS text), key_id, CAST(%(audit_at)s AS timestamptz)
            FROM unnest(CAST(%(audit_key_ids)s AS text[])) AS key_id
        )
        {change}
        """  # noqa: S608 -- names of our own columns


_RECORD_POSTGRES: Final = beside("SELECT 1")


class Stream(Protocol):
    """Takes every record once it is committed. Must not raise."""

    def __call__(self, entry: Entry) -> None: ...


KeyOf = Callable[[sa.Connection, str], str]
"""(connection, API key as presented) -> the key's id, "" where it is none."""


def no_key(connection: sa.Connection, presented: str) -> str:
    """Where nobody can say which key it is."""
    return ""


class Journal:
    """Records of one tenant. Each is also a log line ``AUDIT <action>``, whose names pass ``names`` first."""

    def __init__(
        self,
        tenant: str,
        *,
        names: Callable[[str], str] = user_hash,
        stream: Stream | None = None,
        origin: Origin | None = None,
        key_of: KeyOf = no_key,
    ) -> None:
        """``origin``: where everything recorded here comes from; None: from the request that is being answered."""
        self._tenant = tenant
        self._names = names
        self._stream = stream
        self._origin = origin
        self._key_of = key_of
        self._months: set[datetime] = set()

    def write(
        self, connection: sa.Connection, draft: Draft, key_ids: Sequence[str], outcome: str = record.DONE
    ) -> Entry:
        """Write the record within the caller's transaction; :meth:`told` is for after its commit."""
        origin = self._from()
        via_key = self._key_of(connection, origin.key) if origin.key else ""
        entry = self._entry(draft, key_ids, outcome, via_key)
        if connection.dialect.name == "postgresql":
            if months.month_of(entry.at) not in self._months:
                for table in (NAME, KEYS):
                    months.ensure(connection, table, entry.at, fill=_FILL)
            connection.exec_driver_sql(_RECORD_POSTGRES, _parameters(entry))
            return entry
        values = entry._asdict() | {"details": dict(entry.details)}
        ids = values.pop("key_ids")
        connection.execute(_RECORD, values)
        if ids:
            connection.execute(_KEYS_SQLITE, {"id": entry.id, "at": entry.at, "ids": json.dumps(ids)})
        return entry

    def at_once(
        self,
        database: Database,
        change: str,
        values: Mapping[str, Any],
        draft: Draft,
        key_ids: Sequence[str],
    ) -> bool:
        """Make a change that :func:`beside` made a statement of, with its record, and tell of it. ``values`` are
        psycopg's: SQLAlchemy's way from values to a statement took longer than the statement.

        False, and nothing is done, where something else has to be asked or made in the same transaction: whose key the
        caller showed, or a month's first partition.
        """
        entry = self._entry(draft, key_ids, record.DONE, "")
        if self._from().key or months.month_of(entry.at) not in self._months:
            return False
        try:
            with database.at_once() as connection:
                connection.exec_driver_sql(change, {**values, **_parameters(entry)})
        except sa.exc.SQLAlchemyError:
            self.failed(draft)
            raise
        self.told(entry)
        return True

    def told(self, entry: Entry) -> None:
        """Say what has been committed."""
        self._months.add(months.month_of(entry.at))
        self._line(entry)
        if self._stream is not None:
            self._stream(entry)

    def note(self, database: Database, draft: Draft, key_ids: Sequence[str]) -> None:
        """Record what changed nothing, such as a look at other people's keys. Raises SQLAlchemyError."""
        with database.writing() as connection:
            entry = self.write(connection, draft, key_ids)
        self.told(entry)

    def refused(self, database: Database, draft: Draft, key_ids: Sequence[str] = ()) -> None:
        """Record what somebody had no right to. The refusal stands whether or not that can be written."""
        try:
            with database.writing() as connection:
                entry = self.write(connection, draft, key_ids, record.REFUSED)
        except sa.exc.SQLAlchemyError as fault:
            metrics.store_errors.labels("audit").inc()
            _log.warning("a refusal was not recorded", extra={"fault": type(fault).__name__})
            return
        self.told(entry)

    def failed(self, draft: Draft) -> None:
        """Say what the store did not take."""
        self._line(self._entry(draft, (), record.FAILED, ""))

    def _from(self) -> Origin:
        return ORIGIN.get() if self._origin is None else self._origin

    def _entry(self, draft: Draft, key_ids: Sequence[str], outcome: str, via_key: str) -> Entry:
        origin, context = self._from(), CONTEXT.get()
        return Entry(
            id=str(uuid.uuid4()),
            at=datetime.now(UTC),
            tenant=self._tenant,
            action=draft.action,
            outcome=outcome,
            actor=origin.actor or draft.actor,
            via=origin.via,
            via_key=via_key,
            owner=draft.owner,
            keys=len(key_ids),
            key_ids=tuple(dict.fromkeys(key_ids)),
            request_id="" if context is None else context.request_id,
            details={name: REDACTOR.text(value)[:_TEXT_MAX] for name, value in draft.details.items() if value},
        )

    def _line(self, entry: Entry) -> None:
        fields = {
            "audit": entry.action,
            "outcome": entry.outcome,
            "actor": self._names(entry.actor),
            "tenant": entry.tenant,
            "keys": entry.keys,
            **({"key_id": entry.key_ids[0]} if entry.keys == 1 else {}),
            **({"owner": self._names(entry.owner)} if entry.owner else {}),
            **({"via": entry.via} if entry.via else {}),
            **({"via_key": entry.via_key} if entry.via_key else {}),
            **{_FIELDS.get(name, name): value for name, value in entry.details.items()},
        }
        _log.info("AUDIT %s", entry.action, extra=fields)


def _parameters(entry: Entry) -> dict[str, Any]:
    """What :func:`beside` wants of a record."""
    from psycopg.types.json import Json  # the driver, where it is the store's

    values = entry._asdict() | {"details": Json(dict(entry.details)), "key_ids": list(entry.key_ids)}
    return {_PREFIX + name: value for name, value in values.items()}
