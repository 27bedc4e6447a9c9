"""Rotation: a new secret for the same key.

The old secret may stay valid for a while, so that it can be replaced where it is used without an interruption. It
then lives in a table of our own; the Go service, which does not know that table, accepts the new secret only.

A rotation whose reply was lost is repeated with the same Idempotency-Key. No secret is stored, so the repetition
cannot show the lost one again: it makes another in its place and leaves the old secret's time as it was. The lost one
is void at once.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa

from maas_api.audit.record import Draft
from maas_api.keys.record import KeyRecord
from maas_api.keys.statements import lineage
from maas_api.keys.statements.bulk import IDEMPOTENCY_KEPT
from maas_api.keys.statements.rows import COLUMNS, record_of
from maas_api.keys.statements.store import KeyStore
from maas_api.store.tables import api_keys, old_secrets, rotations


class Rotated(NamedTuple):
    """The key, and until when an earlier secret of it validates (None: none does)."""

    record: KeyRecord
    old_valid_until: datetime | None


class StaleRotationError(Exception):
    """The Idempotency-Key belongs to a rotation that another one has followed."""


class ImportedError(Exception):
    """The key is another gateway's."""


class NotItsKeyError(Exception):
    """The key that asks is neither this one nor one that it was minted with, or its secret is not the newest."""


def rotate(
    store: KeyStore,
    key_id: str,
    key_hash: str,
    *,
    grace: timedelta,
    idempotency_key: str | None,
    draft: Draft | None = None,
    by: str | None = None,
) -> Rotated | None:
    """Give an active, unexpired key the secret with this hash. None where there is no such key.

    ``grace``: how long the secret in use until now stays valid too. ``by``: the hash of the API key that asks, None for
    a user. Raises StaleRotationError, NotItsKeyError, ImportedError.
    """
    keys, now = api_keys.c, store.now()
    with store.changing(draft) as (connection, changed):
        lookup = sa.select(*COLUMNS, keys.key_hash).where(*store.mine(key_id))
        row = connection.execute(lookup.with_for_update(of=api_keys)).first()
        if row is None or record_of(row).status_at(now) != "active":
            return None
        if record_of(row).imported:
            raise ImportedError
        request_hash = None if idempotency_key is None else hashlib.sha256(idempotency_key.encode()).hexdigest()
        repeats = _repeats(connection, key_id, request_hash, row.key_hash, now)
        if by is not None and not _may(connection, store.tenant, key_id, by, now, repeats=repeats):
            raise NotItsKeyError
        if not repeats:
            connection.execute(sa.delete(old_secrets).where(old_secrets.c.key_id == key_id, _over(now, grace)))
            if grace > timedelta(0):
                connection.execute(
                    sa.insert(old_secrets).values(
                        key_hash=row.key_hash, tenant=store.tenant, key_id=key_id, expires_at=now + grace
                    )
                )
        connection.execute(sa.update(api_keys).where(*store.mine(key_id)).values(key_hash=key_hash))
        if request_hash is not None:
            _remember(connection, key_id, request_hash, key_hash, now)
        changed.append(key_id)
        until = connection.execute(
            sa.select(sa.func.max(old_secrets.c.expires_at)).where(
                old_secrets.c.key_id == key_id, old_secrets.c.expires_at > now
            )
        ).scalar()
        return Rotated(record_of(row), until)


def _may(connection: sa.Connection, tenant: str, key_id: str, by: str, now: datetime, *, repeats: bool) -> bool:
    """Whether a key may rotate another: itself, and what was minted with it. Who is shown the new secret then holds
    nothing better than before, so an earlier secret, soon over, only repeats the rotation whose answer was lost."""
    found = lineage.held(connection, tenant, by, now)
    if found is None or not (found.newest or repeats):
        return False
    return found.id == key_id or lineage.descends(connection, key_id, found.id)


def _over(now: datetime, grace: timedelta) -> sa.ColumnElement[bool]:
    """Which earlier secrets end here: those whose time is over, and all of them when the caller wants no overlap."""
    return sa.true() if grace <= timedelta(0) else old_secrets.c.expires_at < now


def _repeats(connection: sa.Connection, key_id: str, request_hash: str | None, current: str, now: datetime) -> bool:
    """Whether this request was carried out before and its secret is the one in use."""
    if request_hash is None:
        return False
    row = connection.execute(
        sa.select(rotations.c.key_hash).where(
            rotations.c.key_id == key_id,
            rotations.c.request_hash == request_hash,
            rotations.c.rotated_at >= now - IDEMPOTENCY_KEPT,
        )
    ).first()
    if row is None:
        return False
    if row.key_hash != current:
        raise StaleRotationError
    return True


def _remember(connection: sa.Connection, key_id: str, request_hash: str, key_hash: str, now: datetime) -> None:
    connection.execute(
        sa.delete(rotations).where(rotations.c.key_id == key_id, rotations.c.request_hash == request_hash)
    )
    connection.execute(
        sa.insert(rotations).values(key_id=key_id, request_hash=request_hash, key_hash=key_hash, rotated_at=now)
    )
