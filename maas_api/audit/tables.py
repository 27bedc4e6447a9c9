"""The tables of the audit. On PostgreSQL both are partitioned by the month of ``at``."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from maas_api.store.tables import Moment

NAME: Final = "maas_audit"
KEYS: Final = "maas_audit_keys"

_metadata = sa.MetaData()

audit = sa.Table(
    NAME,
    _metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("at", Moment, primary_key=True),
    sa.Column("tenant", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("via", sa.Text, nullable=False),
    sa.Column("via_key", sa.Text, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("keys", sa.BigInteger, nullable=False),
    sa.Column("request_id", sa.Text, nullable=False),
    sa.Column("details", sa.JSON().with_variant(postgresql.JSON(), "postgresql"), nullable=False),
)

audit_keys = sa.Table(
    KEYS,
    _metadata,
    sa.Column("audit_id", sa.Text, primary_key=True),
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("at", Moment, primary_key=True),
)
"""Which keys a record is of."""
