"""The one way a change of a key reaches every worker: announced inside the transaction that makes it.

PostgreSQL carries announcements by NOTIFY, which arrives when the transaction commits and not if it does not. SQLite
has no such channel, so they are rows of ``maas_key_changes``, found when ``PRAGMA data_version`` moves. What is changed
in ``api_keys`` by anyone else, triggers announce in the same words (:mod:`maas_api.migrations.announcing`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from maas_api.store.tables import key_changes

CHANNEL: Final = "maas_api_keys"
EVERY_KEY: Final = "*"
IDS_AT_MOST: Final = 2_000
"""Of one transaction. Beyond that, dropping the whole cache costs less than naming what to drop."""
PLAIN_ID: Final = "[0-9A-Za-z_.:-]{1,200}"
"""An id that a note can carry; for one that somebody made up by hand, everything is dropped."""

_KEPT = timedelta(hours=1)
_PLAIN = re.compile(PLAIN_ID, re.ASCII)


def announce(connection: sa.Connection, key_ids: Sequence[str], now: datetime) -> None:
    """Tell every worker that what it remembers of these keys is void, once the transaction commits."""
    if not key_ids:
        return
    if len(key_ids) > IDS_AT_MOST or not all(map(_PLAIN.fullmatch, key_ids)):
        key_ids = [EVERY_KEY]
    if connection.dialect.name == "postgresql":
        connection.execute(_NOTIFY, {"channel": CHANNEL, "notes": list(key_ids)})
        return
    connection.execute(sa.insert(key_changes), [{"key_id": key_id, "changed_at": now} for key_id in key_ids])
    # A worker that sleeps through the deletion notices the gap in the sequence and drops everything.
    connection.execute(sa.delete(key_changes).where(key_changes.c.changed_at < now - _KEPT))


# One id a note, as the trigger tells them: equal notes of one transaction are delivered once.
_NOTIFY = sa.text("SELECT count(pg_notify(:channel, note)) FROM unnest(CAST(:notes AS text[])) AS note")
