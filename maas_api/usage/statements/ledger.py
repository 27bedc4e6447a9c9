"""Adding to the sums: one transaction for some batches, committed before anybody is told that they were taken."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import sqlalchemy as sa

from maas_api.store import months
from maas_api.store.database import Database
from maas_api.store.limits import LABEL
from maas_api.usage.record import Counts
from maas_api.usage.rollup import Folded, Rows, merged
from maas_api.usage.statements import holds
from maas_api.usage.statements.tables import DIMENSIONS, NAME, batches, usage

BATCHES_KEPT: Final = timedelta(hours=1)
"""How long a batch is recognized. Collectors give up after minutes (5 by default)."""
_NOTED_MAX: Final = 100_000
_DELETED_AT_ONCE: Final = 500

_FIELDS = ("tenant", "hour", *DIMENSIONS, *Counts._fields)
_PLACE = ("tenant", "username", "key_id", "hour", "model", "subscription", "provider", "endpoint")
_SUMS = ", ".join(f"{name} = {NAME}.{name} + excluded.{name}" for name in Counts._fields)

# Digests, then rows, each in the order of their key: two transactions at once wait for each other and never deadlock.
_NEW_POSTGRES = sa.text(
    """
    INSERT INTO maas_usage_batches (digest, received_at)
    SELECT digest, CAST(:now AS timestamptz) FROM unnest(CAST(:digests AS text[])) AS digest ORDER BY digest
    ON CONFLICT DO NOTHING RETURNING digest
    """
)
_ADD_POSTGRES = sa.text(
    f"""
    INSERT INTO {NAME} ({", ".join(_FIELDS)})
    SELECT CAST(:tenant AS text), to_timestamp(hour), {", ".join((*DIMENSIONS, *Counts._fields))}
    FROM json_to_recordset(CAST(:rows AS json)) AS rows (
        hour bigint, {", ".join(f"{name} text" for name in DIMENSIONS)},
        {", ".join(f"{name} bigint" for name in Counts._fields)}
    )
    ORDER BY {", ".join(name for name in _PLACE if name != "tenant")}
    ON CONFLICT ({", ".join(_PLACE)}) DO UPDATE SET {_SUMS}
    """  # noqa: S608 -- column names of ours
)
_ADD_SQLITE = sa.text(
    f"""
    INSERT INTO {NAME} ({", ".join(_FIELDS)})
    SELECT :tenant, strftime('%Y-%m-%d %H:%M:%S.000000', json_extract(value, '$.hour'), 'unixepoch'),
        {", ".join(f"json_extract(value, '$.{name}')" for name in (*DIMENSIONS, *Counts._fields))}
    FROM json_each(:rows) WHERE true
    ON CONFLICT ({", ".join(_PLACE)}) DO UPDATE SET {_SUMS}
    """  # noqa: S608 -- column names of ours
)
_NEW_SQLITE = sa.text(
    """
    INSERT INTO maas_usage_batches (digest, received_at)
    SELECT value, strftime('%Y-%m-%d %H:%M:%S.000000', :now, 'unixepoch') FROM json_each(:digests) WHERE true
    ON CONFLICT DO NOTHING RETURNING digest
    """
)
_NOTE_KEYS = """
    INSERT INTO maas_usage_keys (tenant, key_id, username, name, subscription, labels)
    SELECT tenant, id, username, name, subscription, {labels} FROM api_keys
    WHERE tenant = :tenant AND id IN ({ids}) ORDER BY id
    ON CONFLICT (tenant, key_id) DO UPDATE SET name = excluded.name, labels = excluded.labels
"""
_NOTE_POSTGRES = sa.text(
    _NOTE_KEYS.format(
        labels=f"CAST(NULLIF(labels - '{LABEL}', '{{}}') AS json)", ids="SELECT unnest(CAST(:ids AS text[]))"
    )
)
_NOTE_SQLITE = sa.text(
    _NOTE_KEYS.format(
        labels=f"NULLIF(json_remove(labels, '$.\"{LABEL}\"'), '{{}}')", ids="SELECT value FROM json_each(:ids)"
    )
)


class Ledger:
    """The sums of one tenant. Every method raises sqlalchemy.exc.SQLAlchemyError when the store fails."""

    def __init__(
        self,
        database: Database,
        tenant: str,
        *,
        keep: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``keep``: what budgets held for calls that nobody reported is spent, not let go."""
        self._database = database
        self._tenant = tenant
        self._keep = keep
        self.now = now
        self._noted: set[str] = set()
        self._months: set[datetime] = set()

    def add(self, batch: Folded) -> bool:
        """Add a batch and commit. False where it had been added before; then nothing changes."""
        return self.add_all([batch])[0]

    def add_all(self, some: Sequence[Folded]) -> list[bool]:
        """Add batches and commit, all or none. Gives for each whether it was new: nothing of the others is added."""
        if not any(batch.rows for batch in some):
            return [True] * len(some)
        with self._database.writing() as connection:
            fresh = self._fresh(connection, some)
            new = [batch for batch, is_new in zip(some, fresh, strict=True) if is_new]
            rows = merged(batch.rows for batch in new)
            ids = {series.key_id for _hour, series in rows} - {""} - self._noted
            wanted = {months.month_of(datetime.fromtimestamp(hour, UTC)) for hour, _series in rows} - self._months
            if rows:
                self._add(connection, rows, wanted)
            if ids:
                self._note(connection, ids)
            settlements = [settlement for batch in new for settlement in batch.settlements]
            if settlements:
                holds.settle(connection, self._database, settlements, self.now(), keep=self._keep)
        self._months |= wanted
        if len(self._noted) > _NOTED_MAX:
            self._noted.clear()
        self._noted |= ids
        return fresh

    def forget(self, before: datetime | None) -> int:
        """Forget old batches, and sums of hours before ``before`` (None keeps them). Gives how many parts went.

        On PostgreSQL a month goes once all of it is that old. On SQLite rows go a few at a time, so that writers get
        their turns.
        """
        with self._database.writing() as connection:
            connection.execute(sa.delete(batches).where(batches.c.received_at < self.now() - BATCHES_KEPT))
            holds.forget(connection, self.now())
            if self._database.postgres:
                month = months.month_of(self.now())
                for moment in (month, months.next_month(month)):
                    months.ensure(connection, NAME, moment)
        if before is None:
            return 0
        if self._database.postgres:
            return len(months.drop_before(self._database.engine, NAME, before))
        deleted = 0
        while True:
            with self._database.writing() as connection:
                row = sa.literal_column("rowid", sa.Integer)
                old = sa.select(row).select_from(usage).limit(_DELETED_AT_ONCE)
                old = old.where(usage.c.tenant == self._tenant, usage.c.hour < before)
                done = connection.execute(sa.delete(usage).where(row.in_(old))).rowcount
            deleted += done
            if done < _DELETED_AT_ONCE:
                return deleted

    def _fresh(self, connection: sa.Connection, some: Sequence[Folded]) -> list[bool]:
        """Which were not added before; from here on they were. One without a digest, or without rows, always is."""
        known = {batch.digest for batch in some if batch.rows} - {""}
        if not known:
            return [True] * len(some)
        if self._database.postgres:
            values = {"digests": sorted(known), "now": self.now()}
            new = set(connection.scalars(_NEW_POSTGRES, values))
        else:
            values = {"digests": json.dumps(sorted(known)), "now": self.now().timestamp()}
            new = set(connection.scalars(_NEW_SQLITE, values))
        fresh = []
        for batch in some:
            fresh.append(batch.digest not in known or batch.digest in new)
            new.discard(batch.digest)  # the same one twice among these
        return fresh

    def _add(self, connection: sa.Connection, rows: Rows, wanted: Iterable[datetime]) -> None:
        values = {"tenant": self._tenant, "rows": _encoded(rows)}
        if self._database.postgres:
            for month in wanted:
                months.ensure(connection, NAME, month)
            connection.execute(_ADD_POSTGRES, values)
        else:
            connection.execute(_ADD_SQLITE, values)

    def _note(self, connection: sa.Connection, ids: Collection[str]) -> None:
        """Keep what these keys are called; the key's own row may be deleted one day."""
        if self._database.postgres:
            connection.execute(_NOTE_POSTGRES, {"tenant": self._tenant, "ids": sorted(ids)})
        else:
            connection.execute(_NOTE_SQLITE, {"tenant": self._tenant, "ids": json.dumps(sorted(ids))})


def _encoded(rows: Rows) -> str:
    return json.dumps(
        [
            dict(zip(("hour", *DIMENSIONS, *Counts._fields), (hour, *series, *counts), strict=True))
            for (hour, series), counts in rows.items()
        ]
    )
