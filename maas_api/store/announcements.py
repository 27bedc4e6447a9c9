"""The one way a change of a key reaches every worker: announced inside the transaction that makes it.

PostgreSQL carries announcements by NOTIFY, which arrives when the transaction commits and not if it does not. SQLite
has no such channel, so they are rows of ``maas_key_changes``, found when ``PRAGMA data_version`` moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from maas_api.store.tables import key_changes

CHANNEL = "maas_api_keys"
EVERY_KEY = "*"

_IDS_PER_NOTE = 200  # a NOTIFY payload holds 8,000 bytes, an id 36 and a comma
_IDS_AT_MOST = 2_000  # beyond that, dropping the whole cache costs less than naming what to drop
_KEPT = timedelta(hours=1)


def announce(connection: sa.Connection, key_ids: Sequence[str], now: datetime) -> None:
    """Tell every worker that what it remembers of these keys is void, once the transaction commits."""
    if not key_ids:
        return
    if len(key_ids) > _IDS_AT_MOST:
        key_ids = [EVERY_KEY]
    if connection.dialect.name == "postgresql":
        for start in range(0, len(key_ids), _IDS_PER_NOTE):
            note = ",".join(key_ids[start : start + _IDS_PER_NOTE])
            connection.execute(_NOTIFY, {"channel": CHANNEL, "note": note})
        return
    connection.execute(sa.insert(key_changes), [{"key_id": key_id, "changed_at": now} for key_id in key_ids])
    # A worker that sleeps through the deletion notices the gap in the sequence and drops everything.
    connection.execute(sa.delete(key_changes).where(key_changes.c.changed_at < now - _KEPT))


_NOTIFY = sa.text("SELECT pg_notify(:channel, :note)")
