"""The statements that bookkeeping writes: one for a whole batch, whatever its size."""

from __future__ import annotations

import json
from datetime import datetime

import sqlalchemy as sa

from maas_api.keys.statements.store import KeyStore
from maas_api.store.database import Database
from maas_api.store.tables import api_keys
from maas_api.validation.reader import among

_BATCH = 1_000
"""Keys of one statement. While its parameters are put together nobody else has the interpreter for long: as JSON they
take 1 ms, as PostgreSQL's arrays, which psycopg writes in Python, 10."""

# Rows another worker is writing are skipped: it writes a time that differs by seconds, and two batches that lock the
# same rows in different orders would deadlock.
_USES_POSTGRES = sa.text(
    """
    WITH uses AS (
        SELECT key AS id, CAST(value AS timestamptz) AS moment FROM json_each_text(CAST(:moments AS json))
    ), free AS (
        SELECT k.id, uses.moment FROM api_keys k JOIN uses ON uses.id = k.id
        WHERE k.tenant = :tenant AND (k.last_used_at IS NULL OR k.last_used_at < uses.moment)
        FOR NO KEY UPDATE OF k SKIP LOCKED
    )
    UPDATE api_keys SET last_used_at = free.moment FROM free WHERE api_keys.id = free.id
    """
)
_USES_SQLITE = sa.text(
    """
    UPDATE api_keys SET last_used_at = uses.value
    FROM json_each(:moments) AS uses
    WHERE api_keys.id = uses.key AND api_keys.tenant = :tenant
      AND (api_keys.last_used_at IS NULL OR api_keys.last_used_at < uses.value)
    """
)


class KeyLedger:
    """Writes last uses and found expiries of one tenant's keys."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self._database: Database = store.database

    def record_uses(self, uses: dict[str, datetime]) -> None:
        """See :class:`maas_api.validation.bookkeeping.Ledger`."""
        items = sorted(uses.items())
        for start in range(0, len(items), _BATCH):
            part = items[start : start + _BATCH]
            with self._database.writing() as connection:
                if self._database.postgres:
                    moments = {key_id: at.isoformat() for key_id, at in part}
                else:
                    moments = {key_id: at.strftime("%Y-%m-%d %H:%M:%S.%f") for key_id, at in part}
                statement = _USES_POSTGRES if self._database.postgres else _USES_SQLITE
                connection.execute(statement, {"moments": json.dumps(moments), "tenant": self._store.tenant})

    def record_expired(self, key_ids: set[str]) -> None:
        """See :class:`maas_api.validation.bookkeeping.Ledger`."""
        keys = api_keys.c
        with self._store.changing(None) as (connection, changed):
            changed += connection.execute(
                sa.update(api_keys)
                .where(
                    keys.tenant == self._store.tenant,
                    among(keys.id, "ids", self._database.postgres),
                    keys.status == "active",
                    keys.expires_at < self._store.now(),
                )
                .values(status="expired")
                .returning(keys.id),
                {"ids": sorted(key_ids)},
            ).scalars()
