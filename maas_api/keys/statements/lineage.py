"""Which key was minted with which: asked when a key mints or rotates one, and followed when a key is revoked.

A key that mints is locked until its child is stored, and a revocation changes a key before it looks for its children:
so no child is stored beside a revocation that does not see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from maas_api.keys.lineage import Held, above
from maas_api.keys.statements import rows
from maas_api.keys.statements.rows import COLUMNS, record_of
from maas_api.store.tables import api_keys, key_parents, old_secrets

_BATCH: Final = 5_000  # ids of one statement
_LAST: Final = 253_402_300_799.0  # the last unix second that is a datetime


def held(connection: sa.Connection, tenant: str, key_hash: str, now: datetime, *, lock: bool = False) -> Held | None:
    """The key whose secret has this hash, where it is good now. ``lock``: nobody changes it in this transaction."""
    row = _row(connection, lock, api_keys.c.key_hash == key_hash, api_keys.c.tenant == tenant)
    ends, newest = None, row is not None
    if row is None:
        old = old_secrets.c
        earlier = sa.select(old.key_id, old.expires_at).where(old.key_hash == key_hash, old.tenant == tenant)
        found = connection.execute(earlier.where(old.expires_at > now)).first()
        if found is None:
            return None
        ends = found.expires_at
        row = _row(connection, lock, api_keys.c.id == found.key_id, api_keys.c.tenant == tenant)
    if row is None:
        return None
    record = record_of(row)
    if record.status_at(now) != "active" or not record.subscription or record.lost_limits:
        return None
    over = above(_above(connection, record.id), now.timestamp())
    if not over.good:
        return None
    theirs = None if over.until is None else datetime.fromtimestamp(min(over.until, _LAST), UTC)
    until = min((moment for moment in (record.expires_at, ends, theirs) if moment is not None), default=None)
    return Held(
        record.id,
        record.username,
        record.groups,
        record.subscription,
        record.models,
        record.budgets,
        until,
        newest=newest,
        imported=record.imported,
    )


def adopt(connection: sa.Connection, key_id: str, parent_id: str) -> None:
    """Record a new key as the child of the one it was minted with."""
    connection.execute(sa.insert(key_parents).values(key_id=key_id, parent_id=parent_id, bound=True))


def descends(connection: sa.Connection, key_id: str, ancestor: str) -> bool:
    """Whether a key was minted with another, or with one that was."""
    seen: set[str] = set()
    while key_id not in seen:
        seen.add(key_id)
        up = connection.execute(
            sa.select(key_parents.c.parent_id).where(key_parents.c.key_id == key_id, key_parents.c.bound)
        ).scalar()
        if up is None or up == ancestor:
            return up is not None
        key_id = up
    return False


def below(connection: sa.Connection, key_ids: Sequence[str]) -> list[str]:
    """Every key that was minted with these, or with one that was."""
    found: dict[str, None] = {}
    level = list(key_ids)
    while level:
        children: list[str] = []
        for start in range(0, len(level), _BATCH):
            children += connection.execute(_children(level[start : start + _BATCH])).scalars()
        level = [child for child in children if child not in found]
        found |= dict.fromkeys(level)
    return list(found)


def end(connection: sa.Connection, tenant: str, key_ids: Sequence[str]) -> list[str]:
    """Revoke the active descendants of keys that this transaction has revoked; their ids. A level at a time: a child
    that its parent was minting until now is seen once the parent is revoked."""
    ended: list[str] = []
    seen: set[str] = set()
    level = list(key_ids)
    while level:
        seen.update(level)
        children: list[str] = []
        for start in range(0, len(level), _BATCH):
            children += connection.execute(_children(level[start : start + _BATCH])).scalars()
        level = [child for child in children if child not in seen]
        for start in range(0, len(level), _BATCH):
            these = api_keys.c.id.in_(level[start : start + _BATCH])
            ended += connection.execute(_revoked(tenant, these)).scalars()
    return ended


def let_go(connection: sa.Connection, key_id: str) -> None:
    """Keep the children of a key that is about to be revoked: they are its parent's now, or nobody's."""
    up = connection.execute(
        sa.select(key_parents.c.parent_id).where(key_parents.c.key_id == key_id, key_parents.c.bound)
    ).scalar()
    change: dict[str, Any] = {"bound": False} if up is None else {"parent_id": up}
    connection.execute(
        sa.update(key_parents).where(key_parents.c.parent_id == key_id, key_parents.c.bound).values(change)
    )


def end_orphans(connection: sa.Connection, tenant: str) -> list[str]:
    """Revoke the keys whose parent somebody else revoked: the Go service and a hand in SQL know nothing of children.
    They open nothing already, and are shown as what they are from here on."""
    parents = api_keys.alias()
    ended = (
        sa.select(key_parents.c.key_id)
        .join(parents, parents.c.id == key_parents.c.parent_id)
        .where(key_parents.c.bound, parents.c.status == "revoked")
    )
    first = list(connection.execute(_revoked(tenant, api_keys.c.id.in_(ended))).scalars())
    return first + end(connection, tenant, first)


def _above(connection: sa.Connection, key_id: str) -> Any:
    asked = sa.select(rows.above(connection.dialect.name == "postgresql")).where(api_keys.c.id == key_id)
    return connection.execute(asked.select_from(api_keys)).scalar()


def _row(connection: sa.Connection, lock: bool, *conditions: sa.ColumnElement[bool]) -> sa.Row[Any] | None:
    asked = sa.select(*COLUMNS).where(*conditions)
    return connection.execute(asked.with_for_update(read=True, of=api_keys) if lock else asked).first()


def _children(key_ids: Sequence[str]) -> sa.Select[str]:
    return sa.select(key_parents.c.key_id).where(key_parents.c.parent_id.in_(key_ids), key_parents.c.bound)


def _revoked(tenant: str, which: sa.ColumnElement[bool]) -> sa.sql.dml.ReturningUpdate[Any]:
    theirs = api_keys.c.tenant == tenant, api_keys.c.status == "active", which
    return sa.update(api_keys).where(*theirs).values(status="revoked").returning(api_keys.c.id)
