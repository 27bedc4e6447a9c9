"""Rows of ``api_keys`` as records."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from maas_api.keys import budget
from maas_api.keys.record import KeyRecord
from maas_api.store import limits
from maas_api.store.tables import api_keys, key_budgets, key_models, key_parents

ALLOW_LIST = (
    sa.select(key_models.c.models).where(key_models.c.key_id == api_keys.c.id).scalar_subquery().label("models")
)
"""A key's allow-list, looked up for each row given back: a join would read the whole table where that seems cheaper."""

BUDGETS = (
    sa.select(key_budgets.c.budgets).where(key_budgets.c.key_id == api_keys.c.id).scalar_subquery().label("budgets")
)
"""A key's budgets, likewise."""

PARENT = (
    sa.select(key_parents.c.parent_id).where(key_parents.c.key_id == api_keys.c.id).scalar_subquery().label("parent")
)
"""The key it was minted with, likewise."""

# A recursion costs ten times as much as asking whether there is a parent at all, and for most keys there is none.
# Not by EXISTS: PostgreSQL may answer that by hashing the whole table.
_ABOVE = """CASE WHEN (SELECT p.parent_id FROM maas_key_parents p WHERE p.key_id = api_keys.id) IS NOT NULL THEN (
    WITH RECURSIVE above (id, bound) AS (
        SELECT p.parent_id, p.bound FROM maas_key_parents p WHERE p.key_id = api_keys.id
        UNION SELECT p.parent_id, p.bound FROM maas_key_parents p JOIN above ON above.id = p.key_id WHERE above.bound
    )
    SELECT {} FROM above LEFT JOIN api_keys k ON k.id = above.id
) END"""
_ABOVE_POSTGRES = "json_agg(json_build_array(above.id, above.bound, k.status, extract(epoch FROM k.expires_at)))"
_ABOVE_SQLITE = """nullif(json_group_array(json_array(above.id, above.bound, k.status,
    CASE WHEN k.expires_at IS NOT NULL THEN coalesce((julianday(k.expires_at) - 2440587.5) * 86400.0, 0) END)), '[]')"""


def above(postgres: bool) -> sa.Label[Any]:
    """The keys that a key was minted with, as :func:`maas_api.keys.lineage.above` reads them; NULL for most keys."""
    made = _ABOVE.format(_ABOVE_POSTGRES if postgres else _ABOVE_SQLITE)
    return sa.literal_column(made, sa.JSON).label("above")


MARK = sa.literal_column(f"api_keys.labels ->> '{limits.LABEL}'", sa.Text).label("mark")
"""The mark of a limited key (:mod:`maas_api.store.limits`)."""

COLUMNS = (*(column for column in api_keys.c if column.name != "key_hash"), ALLOW_LIST, BUDGETS, PARENT)
"""What :func:`record_of` needs. The hash stays in the database."""


def lost(mark: str | None, models: Any, budgets: Any, parent: Any) -> tuple[str, ...]:
    """Which limits the mark names that are not there."""
    if mark is None:
        return ()
    there = ((limits.MODELS, models), (limits.BUDGET, budgets), (limits.PARENT, parent))
    return limits.lost(mark, [limit for limit, value in there if value is not None])


def record_of(row: sa.Row[*tuple[Any, ...]]) -> KeyRecord:
    """The record in a row of :data:`COLUMNS`."""
    labels = row.labels or {}
    return KeyRecord(
        id=row.id,
        username=row.username,
        name=row.name,
        description=row.description or "",
        groups=tuple(row.user_groups),
        subscription=row.subscription,
        tenant=row.tenant,
        status=row.status,
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        ephemeral=row.ephemeral,
        labels=limits.visible(labels),
        models=None if row.models is None else tuple(row.models),
        budgets=budget.stored(row.budgets),
        parent=row.parent or "",
        imported=limits.IMPORTED in limits.of(labels.get(limits.LABEL)),
        lost_limits=lost(labels.get(limits.LABEL), row.models, row.budgets, row.parent),
    )
