"""Changes of many keys at once: bulk revocation, a tenant's end, the sweep of ephemeral keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import sqlalchemy as sa

from maas_api.audit.record import ITSELF, Draft
from maas_api.keys.statements import lineage
from maas_api.keys.statements.search import has_status
from maas_api.keys.statements.store import KeyStore
from maas_api.store.tables import api_keys, key_models, key_parents, old_secrets, rotations

EPHEMERAL_KEPT: Final = timedelta(minutes=30)
"""How long an ephemeral key outlives its expiry."""

IDEMPOTENCY_KEPT: Final = timedelta(hours=24)
"""How long a rotation can be repeated by its Idempotency-Key."""
_BATCH: Final = 5_000  # ids of one statement
_LATE: Final = Draft("revoke", ITSELF, details={"why": "asked for while the store took no revocation"})


def count_active(store: KeyStore, *, username: str | None, subscription: str | None) -> int:
    """How many keys :func:`revoke_active` would revoke."""
    with store.database.reading() as connection:
        conditions = _active(store, username, subscription)
        return connection.execute(sa.select(sa.func.count()).select_from(api_keys).where(*conditions)).scalar_one()


def owners_of_active(store: KeyStore) -> list[str]:
    """Whoever has an unexpired active key."""
    owners = sa.select(api_keys.c.username).distinct().where(*_active(store, None, None)).order_by(api_keys.c.username)
    with store.database.reading() as connection:
        return list(connection.execute(owners).scalars())


def revoke_active(
    store: KeyStore, *, username: str | None, subscription: str | None, draft: Draft | None = None
) -> int:
    """Revoke the unexpired active keys of a user, of a subscription, or of a user in a subscription."""
    return _revoke(store, draft, *_active(store, username, subscription))


def revoke_tenant(store: KeyStore, draft: Draft | None = None) -> int:
    """Revoke every key of the tenant that is stored as active, those past their expiry included."""
    return _revoke(store, draft, api_keys.c.tenant == store.tenant, api_keys.c.status == "active")


def sweep(store: KeyStore, draft: Draft | None = None) -> int:
    """Delete ephemeral keys long past their expiry, and what belongs to no key or no moment any more.

    Returns the number of keys deleted.
    """
    keys, now = api_keys.c, store.now()
    with store.changing(draft) as (connection, changed):
        # What the Go service revoked ends its children here at the latest.
        changed += lineage.end_orphans(connection, store.tenant)
        deleted = connection.execute(
            sa.delete(api_keys)
            .where(keys.tenant == store.tenant, keys.ephemeral.is_(True), keys.expires_at < now - EPHEMERAL_KEPT)
            .returning(keys.id)
        )
        swept = list(deleted.scalars())
        changed += swept
        for table in (key_models, key_parents, old_secrets, rotations):
            # Orphans come from these deletions and from the Go service's, which does not know these tables.
            orphaned = ~sa.exists().where(keys.id == table.c.key_id)
            connection.execute(sa.delete(table).where(orphaned))
        connection.execute(sa.delete(old_secrets).where(old_secrets.c.expires_at < now))
        connection.execute(sa.delete(rotations).where(rotations.c.rotated_at < now - IDEMPOTENCY_KEPT))
    return len(swept)


def _active(store: KeyStore, username: str | None, subscription: str | None) -> list[sa.ColumnElement[bool]]:
    keys = api_keys.c
    conditions: list[sa.ColumnElement[bool]] = [keys.tenant == store.tenant, has_status("active", store.now())]
    if username is not None:
        conditions.append(keys.username == username)
    if subscription is not None:
        conditions.append(keys.subscription == subscription)
    return conditions


def revoke_these(store: KeyStore, key_ids: Sequence[str]) -> int:
    """Revoke those of the keys that are stored as active, as somebody asked when the store did not take it."""
    count = 0
    for start in range(0, len(key_ids), _BATCH):
        part = key_ids[start : start + _BATCH]
        conditions = api_keys.c.tenant == store.tenant, api_keys.c.status == "active", api_keys.c.id.in_(part)
        with store.changing(_LATE) as (connection, changed):
            changed += connection.execute(_revoked(*conditions)).scalars()
            changed += lineage.end(connection, store.tenant, changed)
        count += len(changed)
    return count


def _revoke(store: KeyStore, draft: Draft | None, *conditions: sa.ColumnElement[Any]) -> int:
    def matching() -> list[str]:
        with store.database.reading() as connection:
            return list(connection.execute(sa.select(api_keys.c.id).where(*conditions)).scalars())

    with store.revoking(matching), store.changing(draft) as (connection, changed):
        changed += connection.execute(_revoked(*conditions)).scalars()
        changed += lineage.end(connection, store.tenant, changed)
    return len(changed)


def _revoked(*conditions: sa.ColumnElement[Any]) -> sa.sql.dml.ReturningUpdate[Any]:
    return sa.update(api_keys).where(*conditions).values(status="revoked").returning(api_keys.c.id)
