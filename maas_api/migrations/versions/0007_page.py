"""Sessions of the page, one-time links to it, and the key that signs what a browser is given

Revision ID: 0007
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_HELD = """
        tenant TEXT NOT NULL,
        username TEXT NOT NULL,
        user_groups JSON NOT NULL,
        credential TEXT NOT NULL,
        expires_at TIMESTAMPTZ NOT NULL
"""

_TABLES = (
    "CREATE TABLE maas_installation_keys (name TEXT PRIMARY KEY, key BYTEA NOT NULL)",
    f"CREATE TABLE maas_page_sessions (id_hash TEXT PRIMARY KEY, {_HELD})",
    f"CREATE TABLE maas_page_links (code_hash TEXT PRIMARY KEY, {_HELD})",
)


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in _TABLES:
        op.execute(statement.replace("TIMESTAMPTZ", "TEXT").replace("BYTEA", "BLOB") if sqlite else statement)


def downgrade() -> None:
    raise NotImplementedError("switching back to the Go service needs no downgrade: it ignores these tables")
