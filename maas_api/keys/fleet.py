"""What callers may do with many keys: search, revoke in bulk; and what the platform does: sweep, end a tenant."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from maas_api.audit.record import PLATFORM, Draft
from maas_api.errors import ApiError, plain
from maas_api.identity.admin import AdminCheck, AdminCheckError
from maas_api.identity.headers import Identity
from maas_api.keys import policy
from maas_api.keys.faults import policy_is_400, revocation_fault_is, store_fault_is
from maas_api.keys.policy import PolicyError
from maas_api.keys.record import KeyRecord
from maas_api.keys.statements import bulk, search
from maas_api.keys.statements.store import KeyStore


class BulkRevocation(NamedTuple):
    """The outcome: how many keys, of what, and whether they were only counted."""

    keys: int
    scope: str
    dry_run: bool


class KeyFleet:
    """The endpoints over many keys, without HTTP. Every method raises ApiError with the answer for the caller."""

    def __init__(self, store: KeyStore, admins: AdminCheck) -> None:
        self._store = store
        self._admins = admins

    def now(self) -> datetime:
        """The time statuses are computed at."""
        return self._store.now()

    def search(self, who: Identity, asked: dict[str, Any]) -> tuple[list[KeyRecord], bool]:
        """A page of the caller's keys, or of anyone's for an admin. ``asked`` is a loaded ``SearchBody``.

        The order of the checks is the wire contract's; the admin check runs on every search.
        """
        filters, sort, pagination = asked["filters"], asked["sort"], asked["pagination"]
        with policy_is_400():
            statuses = tuple(_status(raw) for raw in filters["status"])
        wanted = filters["username"].strip() or None
        if not self._is_admin(who):
            if wanted not in (None, who.username):
                self._refused(Draft("search", who.username, str(wanted)))
                raise plain(403, "non-admin users can only search their own API keys")
            wanted = who.username
        with policy_is_400():
            order_by, descending = _order(sort)
            limit, offset = _page(pagination)
            labels = policy.labels(filters["labelsContain"])
        query = search.Query(
            username=wanted,
            statuses=statuses,
            subscription=filters["subscription"].strip() or None,
            include_ephemeral=filters["includeEphemeral"],
            labels=labels,
            name_contains=filters["nameContains"] or None,
            description_contains=filters["descriptionContains"] or None,
            created=(filters["createdAfter"], filters["createdBefore"]),
            expires=(filters["expiresAfter"], filters["expiresBefore"]),
            last_used=(filters["lastUsedAfter"], filters["lastUsedBefore"]),
            has_expiration=filters["hasExpiration"],
            has_been_used=filters["hasBeenUsed"],
            order_by=order_by,
            descending=descending,
            limit=limit,
            offset=offset,
        )
        with store_fault_is("Failed to search API keys"):
            found, more = search.find(self._store, query)
            others = [record.id for record in found if record.username != who.username]
            if others:
                self._store.journal.note(self._store.database, Draft("search", who.username, wanted or ""), others)
        return found, more

    def bulk_revoke(self, who: Identity, asked: dict[str, Any]) -> BulkRevocation:
        """Revoke a user's or a subscription's active keys, or count them. ``asked`` is a loaded ``BulkRevokeBody``."""
        username = asked["username"].strip() or None
        subscription = asked["subscription"].strip() or None
        if username is None and subscription is None:
            raise plain(400, "at least one of username or subscription is required")
        own = username == who.username and subscription is None
        about = {"subscription": subscription or ""}
        draft = Draft("bulk-revoke", who.username, username or "", about, always=True)
        if not own and not self._is_admin(who):
            self._refused(draft)
            raise plain(403, "Access denied: admin privileges required for this bulk revoke operation")
        scope = " in ".join(
            part for part in (username and f"user {username}", subscription and f"subscription {subscription}") if part
        )
        with revocation_fault_is("Failed to revoke API keys", refused=self._store.refused_meanwhile):
            if asked["dryRun"]:
                count = bulk.count_active(self._store, username=username, subscription=subscription)
            else:
                count = bulk.revoke_active(self._store, username=username, subscription=subscription, draft=draft)
        return BulkRevocation(count, scope, asked["dryRun"])

    def sweep(self) -> int:
        """Delete ephemeral keys long past their expiry; returns how many."""
        with store_fault_is("Failed to cleanup expired ephemeral keys"):
            return bulk.sweep(self._store, Draft("sweep", PLATFORM))

    def end_tenant(self, tenant: str) -> int:
        """Revoke every key of the tenant; returns how many."""
        if not tenant.strip():
            raise plain(400, "tenant is required")
        if tenant.strip() != self._store.tenant:
            raise plain(400, "tenant mismatch")
        with revocation_fault_is("Failed to revoke tenant API keys", refused=self._store.refused_meanwhile):
            return bulk.revoke_tenant(self._store, Draft("tenant-revoke", PLATFORM, always=True))

    def _refused(self, draft: Draft) -> None:
        self._store.journal.refused(self._store.database, draft)

    def _is_admin(self, who: Identity) -> bool:
        try:
            return self._admins.is_admin(who)
        except AdminCheckError as fault:
            raise _unknown_admin() from fault


def _unknown_admin() -> ApiError:
    return plain(500, "Failed to check authorization")


def _status(raw: str) -> str:
    if raw.strip() not in search.STATUSES:
        raise PolicyError(f"invalid status '{raw}': must be active, revoked, or expired")
    return raw.strip()


def _order(sort: dict[str, Any]) -> tuple[str, bool]:
    by = sort["by"].strip() or search.ORDERS[0]
    if by not in search.ORDERS:
        raise PolicyError("invalid sort.by: must be one of: " + ", ".join(search.ORDERS))
    order = sort["order"].strip().lower() or "desc"
    if order not in ("asc", "desc"):
        raise PolicyError("invalid sort.order: must be asc or desc")
    return by, order == "desc"


def _page(pagination: dict[str, Any]) -> tuple[int, int]:
    limit, offset = pagination["limit"], pagination["offset"]
    if limit < 1:
        raise PolicyError("pagination.limit must be at least 1")
    if offset < 0:
        raise PolicyError("pagination.offset must be non-negative")
    return min(limit, search.MAX_LIMIT), offset
