"""The tables, as statements see them. The DDL that makes them lives in :mod:`maas_api.migrations`.

``api_keys`` is the Go service's table, column for column, so that either service can run on the other's live
database. What this service adds lives in tables named ``maas_*`` that the Go service does not know. They do not
reference ``api_keys`` by foreign key: a constraint on its table could make its statements fail. Key ids are random
UUIDs and never used twice, so a row left behind points nowhere.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeDecorator

DEFAULT_TENANT = "models-as-a-service"


class Moment(TypeDecorator[datetime]):
    """An aware datetime in UTC. PostgreSQL: ``timestamptz``. SQLite: text of fixed width, which sorts by time."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """To the database."""
        if value is None or dialect.name == "postgresql":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """From the database."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


_Strings = sa.JSON().with_variant(postgresql.ARRAY(sa.Text), "postgresql")
_Json: sa.types.TypeEngine[Any] = sa.JSON(none_as_null=True).with_variant(
    postgresql.JSONB(none_as_null=True), "postgresql"
)

metadata = sa.MetaData()

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("username", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("description", sa.Text),
    sa.Column("key_hash", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("user_groups", _Strings, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("expires_at", Moment),
    sa.Column("last_used_at", Moment),
    sa.Column("ephemeral", sa.Boolean, nullable=False),
    sa.Column("subscription", sa.Text, nullable=False),
    sa.Column("tenant", sa.Text, nullable=False),
    sa.Column("labels", _Json),
)

key_models = sa.Table(
    "maas_key_models",
    metadata,
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("models", sa.JSON, nullable=False),
)
"""Allow-lists: what a key may call, where that is not everything."""

key_budgets = sa.Table(
    "maas_key_budgets",
    metadata,
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("budgets", sa.JSON, nullable=False),
)
"""Budgets: how much a key may spend, where that is not everything."""

key_parents = sa.Table(
    "maas_key_parents",
    metadata,
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("parent_id", sa.Text, nullable=False),
    sa.Column("bound", sa.Boolean, nullable=False),
)
"""Keys that were minted with a key. ``bound``: it ends with that one."""

old_secrets = sa.Table(
    "maas_old_secrets",
    metadata,
    sa.Column("key_hash", sa.Text, primary_key=True),
    sa.Column("tenant", sa.Text, primary_key=True),
    sa.Column("key_id", sa.Text, nullable=False),
    sa.Column("expires_at", Moment, nullable=False),
)
"""Secrets that a rotation replaced and that stay valid until ``expires_at``."""

rotations = sa.Table(
    "maas_rotations",
    metadata,
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("request_hash", sa.Text, primary_key=True),
    sa.Column("key_hash", sa.Text, nullable=False),
    sa.Column("rotated_at", Moment, nullable=False),
)
"""Rotations that carried an Idempotency-Key (``request_hash`` is its SHA-256), and the secret each one made."""

key_changes = sa.Table(
    "maas_key_changes",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("key_id", sa.Text, nullable=False),
    sa.Column("changed_at", Moment, nullable=False),
    sqlite_autoincrement=True,
)
"""SQLite only: the invalidations that PostgreSQL would carry by NOTIFY. ``*`` stands for every key."""

registry_documents = sa.Table(
    "maas_registry_documents",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("uid", sa.Text, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("created", sa.Text, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
    sa.Column("kept_at", Moment, nullable=False),
)
"""The last good document of each registry, in force for every replica while the newest one cannot be read."""
