"""Many audit records of a year, quickly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import sqlalchemy as sa

from maas_api.store import months
from maas_api.store.database import Database

TENANT: Final = "models-as-a-service"
NEWEST: Final = datetime(2026, 11, 30, tzinfo=UTC)
_DAYS = 365

_RECORD = """
    INSERT INTO maas_audit (id, at, tenant, action, outcome, actor, via, via_key, owner, keys, request_id, details)
    SELECT 'record-' || n, {at}, 'models-as-a-service',
           CASE n % 10 WHEN 0 THEN 'revoke' WHEN 1 THEN 'rotate' WHEN 2 THEN 'read' ELSE 'mint' END,
           CASE WHEN n % 5000 = 0 THEN 'refused' ELSE 'done' END,
           'user-' || (n % 1000), CASE WHEN n % 3000 = 0 THEN 'command line' ELSE 'platform token' END,
           CASE WHEN n % 3 = 0 THEN 'key-' || (n % 20000) ELSE '' END,
           'user-' || (n % 1000), 1, 'request-' || n, '{{}}'
    FROM {numbers}
"""
_KEY = """
    INSERT INTO maas_audit_keys (audit_id, key_id, at) SELECT 'record-' || n, 'key-' || (n % 20000), {at} FROM {numbers}
"""


def fill(database: Database, rows: int) -> None:
    """``rows`` records, evenly over the year before :data:`NEWEST`."""
    step = _DAYS * 86_400 / rows
    with database.writing() as connection:
        if database.postgres:
            moment = NEWEST - timedelta(days=_DAYS)
            while moment <= NEWEST + timedelta(days=31):
                for table in ("maas_audit", "maas_audit_keys"):
                    months.ensure(connection, table, moment, fill=100)
                moment = months.next_month(months.month_of(moment))
            at = f"timestamptz '{NEWEST.isoformat()}' - n * interval '{step} seconds'"
            numbers = f"generate_series(1, {rows}) AS n"
        else:
            at = f"strftime('%Y-%m-%d %H:%M:%f', {NEWEST.timestamp()} - n * {step}, 'unixepoch') || '000'"
            numbers = (
                f"(WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {rows}) SELECT n FROM s)"
            )
        for statement in (_RECORD, _KEY):
            connection.execute(sa.text(statement.format(at=at, numbers=numbers)))
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")
