"""Which key was minted with which

Revision ID: 0010
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_TABLES = (
    "CREATE TABLE maas_key_parents (key_id TEXT PRIMARY KEY, parent_id TEXT NOT NULL, bound BOOLEAN NOT NULL)",
    "CREATE INDEX maas_key_parents_by_parent ON maas_key_parents (parent_id)",
)


def upgrade() -> None:
    for statement in _TABLES:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("switching back to the Go service needs no downgrade: it ignores this table")
