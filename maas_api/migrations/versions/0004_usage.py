"""Hourly sums of metered calls, the keys they are of, the batches they came in

Revision ID: 0004
"""

from datetime import UTC, datetime

from alembic import op

from maas_api.store import months

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_USAGE = """
    CREATE TABLE maas_usage (
        tenant TEXT NOT NULL,
        username TEXT NOT NULL,
        key_id TEXT NOT NULL,
        hour TIMESTAMPTZ NOT NULL,
        model TEXT NOT NULL,
        subscription TEXT NOT NULL,
        provider TEXT NOT NULL,
        endpoint TEXT NOT NULL,
        requests BIGINT NOT NULL,
        errors BIGINT NOT NULL,
        interrupted BIGINT NOT NULL,
        unmetered BIGINT NOT NULL,
        input BIGINT NOT NULL,
        output BIGINT NOT NULL,
        cached BIGINT NOT NULL,
        written BIGINT NOT NULL,
        reasoning BIGINT NOT NULL,
        duration_ms BIGINT NOT NULL,
        first_event_ms BIGINT NOT NULL,
        first_events BIGINT NOT NULL,
        PRIMARY KEY (tenant, username, key_id, hour, model, subscription, provider, endpoint)
    )
"""

_OTHERS = (
    "CREATE INDEX maas_usage_by_hour ON maas_usage (tenant, hour)",
    """
    CREATE TABLE maas_usage_keys (
        tenant TEXT NOT NULL,
        key_id TEXT NOT NULL,
        username TEXT NOT NULL,
        name TEXT NOT NULL,
        subscription TEXT NOT NULL,
        labels JSON,
        PRIMARY KEY (tenant, key_id)
    )
    """,
    "CREATE TABLE maas_usage_batches (digest TEXT PRIMARY KEY, received_at TIMESTAMPTZ NOT NULL)",
    "CREATE INDEX maas_usage_batches_by_time ON maas_usage_batches (received_at)",
)


def upgrade() -> None:
    connection = op.get_bind()
    postgres = connection.dialect.name == "postgresql"
    for statement in (_USAGE + (" PARTITION BY RANGE (hour)" if postgres else ""), *_OTHERS):
        op.execute(statement if postgres else statement.replace("TIMESTAMPTZ", "TEXT"))
    if postgres:
        month = months.month_of(datetime.now(UTC))
        for moment in (month, months.next_month(month)):
            months.ensure(connection, "maas_usage", moment)


def downgrade() -> None:
    raise NotImplementedError("switching back to the Go service needs no downgrade: it ignores these tables")
