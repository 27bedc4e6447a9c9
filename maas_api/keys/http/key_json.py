"""Keys on the wire: the record that reading, revoking and searching answer, and the answers that show a secret."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from maas_api.keys import budget
from maas_api.keys.record import KeyRecord
from maas_api.keys.service import Minted, RotatedKey


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
        "budget": budget.as_json(record.budgets),
        "parent": record.parent,
        "lostLimits": list(record.lost_limits),
    }
    return {
        "id": record.id,
        "name": record.name,
        "creationDate": timestamp(record.created_at),
        "status": record.status_at(now),
        "ephemeral": record.ephemeral,
        **{name: value for name, value in optional.items() if value},
    }


def minted_json(minted: Minted) -> dict[str, Any]:
    """The answer that shows a new key's secret."""
    record = minted.record
    return {
        "key": minted.secret.plaintext,
        "keyPrefix": minted.secret.prefix,
        "id": record.id,
        "name": record.name,
        "subscription": record.subscription,
        "createdAt": timestamp(record.created_at),
        "expiresAt": timestamp(record.expires_at) if record.expires_at else None,
        "ephemeral": record.ephemeral,
        **({"labels": record.labels} if record.labels else {}),
        **({} if record.models is None else {"models": list(record.models)}),
        **({"budget": budget.as_json(record.budgets)} if record.budgets else {}),
        **({"parent": record.parent} if record.parent else {}),
    }


def warnings_json(unmatched: Sequence[str], dropped: Sequence[str] = ()) -> dict[str, Any]:
    """What the maker of a key should look at: patterns of its allow-list that open nothing now, groups left out."""
    said = [f"models: {pattern!r} matches no model that you may call now" for pattern in unmatched]
    said += [f"groups: {name!r} is left out of the key, a gateway could take it for other groups" for name in dropped]
    return {"warnings": said} if said else {}


def rotated_json(done: RotatedKey) -> dict[str, Any]:
    """The answer that shows a new secret, and until when an earlier one validates."""
    until = done.old_valid_until
    old = {} if until is None else {"oldSecretValidUntil": timestamp(until)}
    return {**minted_json(Minted(done.secret, done.record)), **old}
