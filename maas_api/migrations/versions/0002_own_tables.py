"""Allow-lists, rotations and, on SQLite, the change feed

Revision ID: 0002
"""

from alembic import op

from maas_api.migrations.indexes import SQLITE

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TABLES = (
    "CREATE TABLE maas_key_models (key_id TEXT PRIMARY KEY, models JSON NOT NULL)",
    """
    CREATE TABLE maas_old_secrets (
        key_hash TEXT NOT NULL,
        tenant TEXT NOT NULL,
        key_id TEXT NOT NULL,
        expires_at TIMESTAMPTZ NOT NULL,
        PRIMARY KEY (key_hash, tenant)
    )
    """,
    "CREATE INDEX maas_old_secrets_by_key ON maas_old_secrets (key_id)",
    "CREATE INDEX maas_old_secrets_by_expiry ON maas_old_secrets (expires_at)",
    """
    CREATE TABLE maas_rotations (
        key_id TEXT NOT NULL,
        request_hash TEXT NOT NULL,
        key_hash TEXT NOT NULL,
        rotated_at TIMESTAMPTZ NOT NULL,
        PRIMARY KEY (key_id, request_hash)
    )
    """,
    "CREATE INDEX maas_rotations_by_time ON maas_rotations (rotated_at)",
)

_SQLITE_FEED = (
    """
    CREATE TABLE maas_key_changes (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        key_id TEXT NOT NULL,
        changed_at TEXT NOT NULL
    )
    """,
    "CREATE INDEX maas_key_changes_by_time ON maas_key_changes (changed_at)",
)


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in _TABLES:
        op.execute(statement.replace("TIMESTAMPTZ", "TEXT") if sqlite else statement)
    if sqlite:
        for statement in _SQLITE_FEED:
            op.execute(statement)
        for name, definition in SQLITE:
            op.execute(f"CREATE INDEX {name} ON api_keys {definition}")


def downgrade() -> None:
    raise NotImplementedError("switching back to the Go service needs no downgrade: it ignores these tables")
