"""The Go service's database, as its six migrations leave it, and the statements it runs on it.

Written from the wire contract's description of its schema, not from its files.
"""

from __future__ import annotations

from typing import Any

import psycopg

MIGRATIONS = (
    # 1: the table of the first keys
    """
    CREATE TABLE api_keys (
        id TEXT PRIMARY KEY,
        username TEXT NOT NULL,
        name TEXT NOT NULL,
        description TEXT,
        key_hash TEXT NOT NULL,
        status TEXT NOT NULL DEFAULT 'active',
        created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
        expires_at TIMESTAMPTZ,
        last_used_at TIMESTAMPTZ,
        user_groups TEXT[] NOT NULL,
        CONSTRAINT api_keys_status_check CHECK (status IN ('active', 'revoked', 'expired'))
    );
    CREATE UNIQUE INDEX idx_api_keys_key_hash ON api_keys (key_hash);
    CREATE INDEX idx_api_keys_username_created ON api_keys (username, created_at DESC);
    CREATE INDEX idx_api_keys_last_used ON api_keys (last_used_at) WHERE last_used_at IS NOT NULL;
    CREATE INDEX idx_api_keys_user_groups ON api_keys USING GIN (user_groups);
    """,
    # 2: ephemeral keys
    """
    ALTER TABLE api_keys ADD COLUMN ephemeral BOOLEAN NOT NULL DEFAULT FALSE;
    CREATE INDEX idx_api_keys_ephemeral_expired ON api_keys (status, expires_at) WHERE ephemeral = TRUE;
    """,
    # 3: the subscription bound to a key
    "ALTER TABLE api_keys ADD COLUMN subscription TEXT NOT NULL;",
    # 4: tenants
    """
    ALTER TABLE api_keys ADD COLUMN tenant TEXT NOT NULL DEFAULT 'models-as-a-service';
    CREATE INDEX idx_api_keys_tenant_username_created ON api_keys (tenant, username, created_at DESC);
    """,
    # 5: hashes are unique within a tenant
    """
    CREATE UNIQUE INDEX idx_api_keys_key_hash_tenant ON api_keys (key_hash, tenant);
    DROP INDEX idx_api_keys_key_hash;
    """,
    # 6: labels
    """
    ALTER TABLE api_keys ADD COLUMN labels JSONB
        CONSTRAINT api_keys_labels_object CHECK (labels IS NULL OR jsonb_typeof(labels) = 'object');
    """,
)

_INSERT = """
INSERT INTO api_keys (id, username, name, description, key_hash, user_groups, status, expires_at, ephemeral,
                      subscription, tenant, labels)
VALUES (%(id)s, %(username)s, %(name)s, %(description)s, %(key_hash)s, %(user_groups)s, 'active', %(expires_at)s,
        %(ephemeral)s, %(subscription)s, %(tenant)s, %(labels)s)
"""
_LOOKUP = """
SELECT id, username, name, description, user_groups, status, expires_at, last_used_at, ephemeral, subscription, tenant
FROM api_keys WHERE key_hash = %s AND tenant = %s
"""


REVOKE = "UPDATE api_keys SET status = 'revoked' WHERE id = %s AND status = 'active'"


class GoService:
    """The Go service at work on a database."""

    def __init__(self, url: str) -> None:
        self._url = url

    def migrate(self) -> None:
        """Start on the database: run what its ``schema_migrations`` lacks, then make the labels index."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS schema_migrations"
                " (version BIGINT NOT NULL PRIMARY KEY, dirty BOOLEAN NOT NULL)"
            )
            row = connection.execute("SELECT version, dirty FROM schema_migrations LIMIT 1").fetchone()
            assert row is None or not row[1], "dirty"
            for number, script in enumerate(MIGRATIONS, 1):
                if row is not None and number <= row[0]:
                    continue
                with connection.transaction():
                    connection.execute(script.encode())
                    connection.execute("TRUNCATE schema_migrations")
                    connection.execute("INSERT INTO schema_migrations (version, dirty) VALUES (%s, FALSE)", (number,))
            connection.execute(
                "CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_api_keys_labels_gin"
                " ON api_keys USING GIN (labels jsonb_path_ops)"
            )

    def mint(self, **row: Any) -> None:
        """Store a key, naming the columns that the Go service names."""
        defaults = {"description": None, "expires_at": None, "ephemeral": False, "labels": None}
        with psycopg.connect(self._url) as connection:
            connection.execute(_INSERT, {**defaults, "tenant": "models-as-a-service", **row})

    def lookup(self, key_hash: str, tenant: str = "models-as-a-service") -> dict[str, Any] | None:
        """The row behind a validation."""
        with psycopg.connect(self._url, row_factory=psycopg.rows.dict_row) as connection:
            return connection.execute(_LOOKUP, (key_hash, tenant)).fetchone()

    def revoke(self, key_id: str) -> int:
        """Revoke, as its DELETE does. Nobody is notified."""
        with psycopg.connect(self._url) as connection:
            return connection.execute(REVOKE, (key_id,)).rowcount

    def schema(self) -> dict[str, list[Any]]:
        """What its statements depend on: columns, constraints and indexes of its table, and its version row."""
        questions = {
            "columns": "SELECT column_name, data_type, udt_name, is_nullable, column_default"
            " FROM information_schema.columns WHERE table_name = 'api_keys' ORDER BY column_name",
            "checks": "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'api_keys'::regclass"
            " AND contype IN ('c', 'p', 'u', 'f') ORDER BY 1",
            "indexes": "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'api_keys'"
            " AND indexname NOT LIKE 'maas_%' ORDER BY 1",
            "triggers": "SELECT tgname FROM pg_trigger WHERE tgrelid = 'api_keys'::regclass"
            " AND tgname NOT LIKE 'maas_%' ORDER BY 1",
            "version": "SELECT version, dirty FROM schema_migrations",
        }
        with psycopg.connect(self._url) as connection:
            return {name: connection.execute(question.encode()).fetchall() for name, question in questions.items()}
