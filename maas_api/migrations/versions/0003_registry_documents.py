"""The registry's last good documents

Revision ID: 0003
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TABLE = """
    CREATE TABLE maas_registry_documents (
        name TEXT PRIMARY KEY,
        uid TEXT NOT NULL,
        version BIGINT NOT NULL,
        created TEXT NOT NULL,
        document TEXT NOT NULL,
        kept_at TIMESTAMPTZ NOT NULL
    )
"""


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    op.execute(_TABLE.replace("TIMESTAMPTZ", "TEXT") if sqlite else _TABLE)


def downgrade() -> None:
    raise NotImplementedError("switching back to the Go service needs no downgrade: it ignores these tables")
