"""A year of hourly sums, filled in by the store itself."""

from __future__ import annotations

from datetime import UTC, datetime

from maas_api.store import months
from maas_api.store.database import Database

TENANT = "models-as-a-service"
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
LAST = datetime(2027, 1, 1, tzinfo=UTC)
HOURS = 8760
USERS, MODELS = 300, 20

_FILL = """
    INSERT INTO maas_usage (tenant, hour, key_id, username, subscription, model, provider, endpoint, requests, errors,
        interrupted, unmetered, input, output, cached, written, reasoning, duration_ms, first_event_ms, first_events)
    SELECT '{tenant}', {hour}, 'key-' || ((n + h) % 900), 'user-' || ((n + h) % {users}), 's' || (n % 7),
        'model-' || (n % {models}), 'openai', 'chat', 9, 1, 0, 1, 1000, 200, 50, 0, 10, 9000, 900, 8
    FROM {hours}, {series}
"""


def fill(database: Database, series: int) -> int:
    """Rows of ``series`` series in each hour of the year 2026; gives how many."""
    if database.postgres:
        hour, hours = f"'{FIRST.isoformat()}'::timestamptz + h * interval '1 hour'", "generate_series(0, 8759) AS h"
        numbers, before = f"generate_series(1, {series}) AS n", ""
    else:
        hour, hours = "strftime('%Y-%m-%d %H:%M:%S.000000', '2026-01-01', '+' || h || ' hours')", "hours"
        numbers = "series"
        before = (
            "WITH RECURSIVE hours(h) AS (SELECT 0 UNION ALL SELECT h + 1 FROM hours WHERE h < 8759),"
            f" series(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < {series})"
        )
    statement = _FILL.format(tenant=TENANT, users=USERS, models=MODELS, hour=hour, hours=hours, series=numbers)
    with database.writing() as connection:
        month = FIRST
        while database.postgres and month < LAST:
            months.ensure(connection, "maas_usage", month)
            month = months.next_month(month)
        connection.exec_driver_sql(before + (statement.replace("%", "%%") if database.postgres else statement))
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE maas_usage" if database.postgres else "ANALYZE maas_usage")
    return series * HOURS
