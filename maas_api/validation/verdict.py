"""The answer to "may this key call?", with the callback's reply already encoded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

REPLY_MAX = 899
"""Most bytes of a reply: Authorino refuses to cache entries above about 1,000, its own key included."""

_NAME_SHOWN = 40  # code points of the key's name that a reply over the limit keeps


class Verdict(NamedTuple):
    """One key's validation. ``body`` is the callback's reply; ``models`` is the allow-list, None for every model.

    An invalid verdict has a ``reason`` and, apart from ``key_id`` where the key is known but unusable, nothing else.
    """

    valid: bool
    reason: str
    key_id: str
    key_name: str
    username: str
    groups: tuple[str, ...]
    subscription: str
    tenant: str
    models: tuple[str, ...] | None
    expires_at: float | None
    body: bytes


def refused(reason: str, key_id: str = "") -> Verdict:
    """A definitive no."""
    body = _encode({"valid": False, "tenant": "", "reason": reason})
    return Verdict(False, reason, key_id, "", "", (), "", "", None, None, body)


def accepted(
    *,
    key_id: str,
    key_name: str,
    username: str,
    groups: tuple[str, ...],
    subscription: str,
    tenant: str,
    models: tuple[str, ...] | None,
    expires_at: float | None,
) -> Verdict:
    """A yes. ``expires_at`` is unix seconds; whoever keeps the verdict checks it on every use."""
    fields: dict[str, Any] = {
        "valid": True,
        "userId": key_id,
        "username": username,
        "keyId": key_id,
        "keyName": key_name,
    }
    if groups:
        fields["groups"] = list(groups)
    fields["subscription"] = subscription
    fields["tenant"] = tenant
    if models is not None:
        fields["models"] = list(models)
    body = _reply(fields)
    return Verdict(True, "", key_id, key_name, username, groups, subscription, tenant, models, expires_at, body)


def no_subscription(key_id: str) -> Verdict:
    """The key exists and is active, but nothing says what it may use."""
    return refused("key has no subscription bound", key_id)


def _reply(fields: dict[str, Any]) -> bytes:
    """The encoded reply, at most REPLY_MAX bytes where shortening the name and dropping groups can get there.

    What was cut is named in ``truncated``. Fewer groups can only open less, so the cut is on the safe side.
    """
    body = _encode(fields)
    if len(body) <= REPLY_MAX:
        return body
    cut: list[str] = []
    fields = {**fields, "truncated": cut}
    if len(fields["keyName"]) > _NAME_SHOWN:
        fields["keyName"] = fields["keyName"][:_NAME_SHOWN]
        cut.append("keyName")
        body = _encode(fields)
        if len(body) <= REPLY_MAX:
            return body
    groups = fields.get("groups", [])
    if groups:
        cut.append("groups")
    while groups and len(_encode(fields)) > REPLY_MAX:
        groups.pop()
    if not groups:
        fields.pop("groups", None)
    return _encode(fields)


_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)  # json.dumps would make one for each reply


def _encode(fields: Mapping[str, Any]) -> bytes:
    return _ENCODER.encode(fields).encode()


BAD_FORMAT = refused("invalid key format")
NOT_FOUND = refused("key not found")
REVOKED_OR_EXPIRED = refused("key revoked or expired")
