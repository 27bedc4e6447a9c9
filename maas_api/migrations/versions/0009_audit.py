"""The audit: who did what to which keys

Revision ID: 0009
"""

from datetime import UTC, datetime

from alembic import op

from maas_api.store import months

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_TABLES = {
    "maas_audit": """
    CREATE TABLE maas_audit (
        id TEXT NOT NULL,
        at TIMESTAMPTZ NOT NULL,
        tenant TEXT NOT NULL,
        action TEXT NOT NULL,
        outcome TEXT NOT NULL,
        actor TEXT NOT NULL,
        via TEXT NOT NULL,
        via_key TEXT NOT NULL,
        owner TEXT NOT NULL,
        keys BIGINT NOT NULL,
        request_id TEXT NOT NULL,
        details JSON NOT NULL,
        PRIMARY KEY (id, at)
    )
    """,
    "maas_audit_keys": """
    CREATE TABLE maas_audit_keys (
        audit_id TEXT NOT NULL,
        key_id TEXT NOT NULL,
        at TIMESTAMPTZ NOT NULL,
        PRIMARY KEY (audit_id, key_id, at)
    )
    """,
}
# Every question is answered newest first: each index has the time, and the id that breaks ties, behind what it finds.
_INDEXES = (
    "CREATE INDEX maas_audit_by_time ON maas_audit (tenant, at, id)",
    *(
        f"CREATE INDEX maas_audit_by_{column} ON maas_audit (tenant, {column}, at, id)"
        for column in ("action", "outcome", "actor", "via", "owner", "via_key", "request_id")
    ),
    "CREATE INDEX maas_audit_keys_by_key ON maas_audit_keys (key_id, at, audit_id)",
    "CREATE INDEX maas_audit_keys_by_time ON maas_audit_keys (at)",
)


def upgrade() -> None:
    connection = op.get_bind()
    postgres = connection.dialect.name == "postgresql"
    for name, statement in _TABLES.items():
        if postgres:
            op.execute(f"{statement} PARTITION BY RANGE (at)")
            month = months.month_of(datetime.now(UTC))
            for moment in (month, months.next_month(month)):
                months.ensure(connection, name, moment, fill=100)
        else:
            op.execute(statement.replace("TIMESTAMPTZ", "TEXT"))
    for index in _INDEXES:
        op.execute(index)


def downgrade() -> None:
    raise NotImplementedError("switching back to the Go service needs no downgrade: it ignores these tables")
