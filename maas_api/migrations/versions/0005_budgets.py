"""Budgets of keys, and what is spent and held of each

Revision ID: 0005
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TABLES = (
    "CREATE TABLE maas_key_budgets (key_id TEXT PRIMARY KEY, budgets JSON NOT NULL)",
    """
    CREATE TABLE maas_budget_use (
        key_id TEXT NOT NULL,
        per TEXT NOT NULL,
        begins TIMESTAMPTZ NOT NULL,
        used BIGINT NOT NULL,
        generation BIGINT NOT NULL,
        held BIGINT NOT NULL,
        held_before BIGINT NOT NULL,
        PRIMARY KEY (key_id, per, begins)
    )
    """,
    "CREATE INDEX maas_budget_use_by_time ON maas_budget_use (begins)",
)


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in _TABLES:
        op.execute(statement.replace("TIMESTAMPTZ", "TEXT") if sqlite else statement)


def downgrade() -> None:
    raise NotImplementedError("switching back to the Go service needs no downgrade: it ignores these tables")
