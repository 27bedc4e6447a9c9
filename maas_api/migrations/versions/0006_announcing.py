"""Triggers on SQLite that announce what others change in api_keys (those on PostgreSQL are looked for at each start)

Revision ID: 0006
"""

from alembic import op

from maas_api.migrations.announcing import SQLITE

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for statement in SQLITE:
            op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("switching back to the Go service needs no downgrade: its statements run as before")
