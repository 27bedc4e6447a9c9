"""A key as the store holds it, without its secret."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from maas_api.keys.schema import api_keys, key_models


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """One row of ``api_keys`` with its allow-list (None allows every model). ``status`` is the stored one."""

    id: str
    username: str
    name: str
    description: str
    groups: tuple[str, ...]
    subscription: str
    tenant: str
    status: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    ephemeral: bool
    labels: dict[str, str]
    models: tuple[str, ...] | None

    def status_at(self, now: datetime) -> str:
        """``active``, ``revoked`` or ``expired``, whether or not the expiry has been stored yet."""
        if self.status == "active" and self.expires_at is not None and self.expires_at < now:
            return "expired"
        return self.status


ALLOW_LIST = (
    sa.select(key_models.c.models).where(key_models.c.key_id == api_keys.c.id).scalar_subquery().label("models")
)
"""A key's allow-list, looked up for each row given back: a join would read the whole table where that seems cheaper."""

COLUMNS = (*(column for column in api_keys.c if column.name != "key_hash"), ALLOW_LIST)
"""What :func:`of` needs. The hash stays in the database."""


def of(row: sa.Row[*tuple[Any, ...]]) -> KeyRecord:
    """The record in a row of :data:`COLUMNS`."""
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
        labels=dict(row.labels or {}),
        models=None if row.models is None else tuple(row.models),
    )


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC, whole seconds, ``Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def as_json(record: KeyRecord, now: datetime) -> dict[str, Any]:
    """The key as get, revoke and search answer it. Empty optional fields are left out, groups always are."""
    optional = {
        "description": record.description,
        "username": record.username,
        "subscription": record.subscription,
        "tenant": record.tenant,
        "expirationDate": record.expires_at and timestamp(record.expires_at),
        "lastUsedAt": record.last_used_at and timestamp(record.last_used_at),
        "labels": record.labels,
        "models": list(record.models or ()),
    }
    return {
        "id": record.id,
        "name": record.name,
        "creationDate": timestamp(record.created_at),
        "status": record.status_at(now),
        "ephemeral": record.ephemeral,
        **{name: value for name, value in optional.items() if value},
    }
