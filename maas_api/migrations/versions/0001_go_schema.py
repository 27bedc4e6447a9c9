"""The Go service's schema at its version 6, where it is not there yet

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_POSTGRES = (
    """
    CREATE TABLE api_keys (
        id TEXT PRIMARY KEY,
        username TEXT NOT NULL,
        name TEXT NOT NULL,
        description TEXT,
        key_hash TEXT NOT NULL,
        status TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'revoked', 'expired')),
        user_groups TEXT[] NOT NULL,
        created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
        expires_at TIMESTAMPTZ,
        last_used_at TIMESTAMPTZ,
        ephemeral BOOLEAN NOT NULL DEFAULT FALSE,
        subscription TEXT NOT NULL,
        tenant TEXT NOT NULL DEFAULT 'models-as-a-service',
        labels JSONB CHECK (labels IS NULL OR jsonb_typeof(labels) = 'object')
    )
    """,
    "CREATE INDEX idx_api_keys_username_created ON api_keys (username, created_at DESC)",
    "CREATE INDEX idx_api_keys_last_used ON api_keys (last_used_at) WHERE last_used_at IS NOT NULL",
    "CREATE INDEX idx_api_keys_user_groups ON api_keys USING GIN (user_groups)",
    "CREATE INDEX idx_api_keys_ephemeral_expired ON api_keys (status, expires_at) WHERE ephemeral = TRUE",
    "CREATE INDEX idx_api_keys_tenant_username_created ON api_keys (tenant, username, created_at DESC)",
    "CREATE UNIQUE INDEX idx_api_keys_key_hash_tenant ON api_keys (key_hash, tenant)",
    "CREATE TABLE IF NOT EXISTS schema_migrations (version BIGINT NOT NULL PRIMARY KEY, dirty BOOLEAN NOT NULL)",
    "INSERT INTO schema_migrations (version, dirty) VALUES (6, FALSE)",
)

_SQLITE = (
    """
    CREATE TABLE api_keys (
        id TEXT PRIMARY KEY,
        username TEXT NOT NULL,
        name TEXT NOT NULL,
        description TEXT,
        key_hash TEXT NOT NULL,
        status TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'revoked', 'expired')),
        user_groups TEXT NOT NULL,
        created_at TEXT NOT NULL,
        expires_at TEXT,
        last_used_at TEXT,
        ephemeral BOOLEAN NOT NULL DEFAULT FALSE,
        subscription TEXT NOT NULL,
        tenant TEXT NOT NULL DEFAULT 'models-as-a-service',
        labels TEXT CHECK (labels IS NULL OR json_type(labels) = 'object')
    )
    """,
    "CREATE INDEX idx_api_keys_ephemeral_expired ON api_keys (status, expires_at) WHERE ephemeral",
    "CREATE INDEX idx_api_keys_tenant_username_created ON api_keys (tenant, username, created_at DESC)",
    "CREATE UNIQUE INDEX idx_api_keys_key_hash_tenant ON api_keys (key_hash, tenant)",
)


def upgrade() -> None:
    connection = op.get_bind()
    if sa.inspect(connection).has_table("api_keys"):
        return
    for statement in _POSTGRES if connection.dialect.name == "postgresql" else _SQLITE:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("the Go service's schema is not ours to remove")
