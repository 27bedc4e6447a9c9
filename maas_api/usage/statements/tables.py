"""The tables of usage, as statements see them. :mod:`maas_api.migrations` makes them."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from maas_api.store.tables import Moment
from maas_api.usage.record import Counts, Series

NAME: Final = "maas_usage"

COLUMNS: Final = {"user": "username"}
"""Where a field's column is called otherwise: ``user`` is a word of SQL."""

DIMENSIONS: Final = tuple(COLUMNS.get(field, field) for field in Series._fields)

usage = sa.Table(
    NAME,
    sa.MetaData(),
    sa.Column("tenant", sa.Text, primary_key=True),
    sa.Column("hour", Moment, primary_key=True),
    *(sa.Column(name, sa.Text, primary_key=True) for name in DIMENSIONS),
    *(sa.Column(name, sa.BigInteger, nullable=False) for name in Counts._fields),
)
"""Hourly sums. On PostgreSQL partitioned by month of ``hour``."""

keys = sa.Table(
    "maas_usage_keys",
    sa.MetaData(),
    sa.Column("tenant", sa.Text, primary_key=True),
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("username", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("subscription", sa.Text, nullable=False),
    sa.Column("labels", sa.JSON(none_as_null=True)),
)
"""Keys that were used, as they were: readable after the key's own row is gone."""

batches = sa.Table(
    "maas_usage_batches",
    sa.MetaData(),
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("received_at", Moment, nullable=False),
)
"""Batches taken of late, so that one sent twice is counted once."""
