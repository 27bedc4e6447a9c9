"""The answer to "may this key call?", with the callback's reply already encoded."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from maas_api.keys.budget import Budgets

CACHED_BYTES = 1_000
"""Most bytes of an entry in Authorino's cache of the default size, the key's and the reply's together. One that is
longer is not refused, it is asked for again at every request."""

_KEY_BYTES = 74  # the longest API key there is; it is the entry's key
_GO_ESCAPES = re.compile("[<>&\u2028\u2029]")


class Verdict(NamedTuple):
    """One key's validation. ``body`` is the callback's reply, ``long`` whether that is too long for Authorino's cache;
    ``models`` is the allow-list, None for every model; ``budgets`` is what the key may spend, nothing for no end.

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
    long: bool = False
    budgets: Budgets = ()
    parents: tuple[str, ...] = ()
    """The keys that it ends with."""


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
    budgets: Budgets = (),
    parents: tuple[str, ...] = (),
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
    body = _encode(fields)
    long = _KEY_BYTES + cached_size(body) > CACHED_BYTES
    who = (key_id, key_name, username, groups, subscription, tenant, models, expires_at)
    return Verdict(True, "", *who, body, long, budgets, parents)


def with_groups(verdict: Verdict, groups: tuple[str, ...]) -> Verdict:
    """A yes for the same key, whose owner is in other groups now than when it was minted."""
    return accepted(
        key_id=verdict.key_id,
        key_name=verdict.key_name,
        username=verdict.username,
        groups=groups,
        subscription=verdict.subscription,
        tenant=verdict.tenant,
        models=verdict.models,
        expires_at=verdict.expires_at,
        budgets=verdict.budgets,
        parents=verdict.parents,
    )


def no_subscription(key_id: str) -> Verdict:
    """The key exists and is active, but nothing says what it may use."""
    return refused("key has no subscription bound", key_id)


def limits_lost(key_id: str) -> Verdict:
    """The key exists and is active, but what it was limited to is not known any more."""
    return refused("key's limits are lost", key_id)


def cached_size(reply: bytes) -> int:
    """Bytes of a reply in Authorino's cache. It encodes again, as Go does: ``&``, ``<`` and ``>`` take six bytes each,
    and so do U+2028 and U+2029."""
    text = reply.decode()
    return len(reply) + sum(6 - len(found.encode()) for found in _GO_ESCAPES.findall(text))


_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)  # json.dumps would make one for each reply


def _encode(fields: Mapping[str, Any]) -> bytes:
    return _ENCODER.encode(fields).encode()


BAD_FORMAT = refused("invalid key format")
NOT_FOUND = refused("key not found")
REVOKED_OR_EXPIRED = refused("key revoked or expired")
OWNER_GONE = refused("key owner has left or is disabled")
