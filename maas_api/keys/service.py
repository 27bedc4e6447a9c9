"""What callers may do with keys: mint, read, revoke. Rules of ownership and the answers to breaking them."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

import sqlalchemy as sa

from maas_api.errors import ApiError, plain
from maas_api.identity.admin import AdminCheck, AdminCheckError
from maas_api.identity.headers import Identity
from maas_api.keys import format as key_format
from maas_api.keys import policy
from maas_api.keys.audit import Audit
from maas_api.keys.policy import Life, PolicyError
from maas_api.keys.records import KeyRecord
from maas_api.keys.store import KeyStore
from maas_api.observability import metrics

_log = logging.getLogger(__name__)


class SubscriptionResolver(Protocol):
    """Which subscription a new key is bound to."""

    def resolve(self, who: Identity, requested: str) -> str:
        """The bare name. ``requested`` is ``ns/name``, ``name`` or ``""`` for the caller's best. Raises ApiError."""


class Minted(NamedTuple):
    """A key and its secret, which nobody will see again."""

    secret: key_format.NewKey
    record: KeyRecord


class KeyService:
    """The key endpoints without HTTP. Every method raises ApiError with the answer for the caller."""

    def __init__(
        self,
        store: KeyStore,
        subscriptions: SubscriptionResolver,
        admins: AdminCheck,
        audit: Audit,
        life: Life,
    ) -> None:
        self._store = store
        self._subscriptions = subscriptions
        self._admins = admins
        self._audit = audit
        self.life = life

    def now(self) -> datetime:
        """The time statuses are computed at."""
        return self._store.now()

    def mint(self, who: Identity, asked: dict[str, Any]) -> Minted:
        """Make a key. ``asked`` is a loaded ``MintBody``. The order of the checks is the wire contract's."""
        with policy_is_400():
            ephemeral: bool = asked["ephemeral"]
            if not ephemeral and asked["name"] == "":
                raise PolicyError("name is required for non-ephemeral keys")
            labels = policy.labels(asked["labels"])
            name = asked["name"] or f"ephemeral-{time.time_ns()}"
            name = policy.name(name)
            description = policy.description(asked["description"])
            groups = policy.groups(who.groups)
            models = None if asked["models"] is None else policy.models(asked["models"])
        with policy_is_400(), counted_if_refused():
            life = self.life.of(policy.expires_in(asked["expiresIn"]), ephemeral=ephemeral)
        with counted_if_refused():
            subscription = self._subscriptions.resolve(who, asked["subscription"].strip())
        now = self._store.now()
        secret = key_format.make()
        record = KeyRecord(
            id=str(uuid.uuid4()),
            username=who.username,
            name=name,
            description=description,
            groups=groups,
            subscription=subscription,
            tenant=self._store.tenant,
            status="active",
            created_at=now,
            expires_at=now + timedelta(microseconds=life // 1_000),
            last_used_at=None,
            ephemeral=ephemeral,
            labels=labels,
            models=models,
        )
        with store_fault_is("Failed to create API key"):
            try:
                self._store.insert(record, secret.hash)
            except sa.exc.SQLAlchemyError:
                metrics.mints.labels("failure").inc()
                raise
        metrics.mints.labels("success").inc()
        self._audit(
            "mint", actor=who.username, keys=1, key_id=record.id, subscription=subscription, ephemeral=ephemeral
        )
        return Minted(secret, record)

    def get(self, who: Identity, key_id: str) -> KeyRecord:
        """A key of the caller, or any of the tenant for an admin. Raises 404 for every other."""
        with store_fault_is("Failed to retrieve API key"):
            record = self._store.get(key_id)
        if record is None or not self._may_touch(who, record):
            raise plain(404, "API key not found")
        return record

    def revoke(self, who: Identity, key_id: str) -> KeyRecord:
        """Revoke a key that the caller may see and that is stored as active. Raises 404 for every other."""
        self.get(who, key_id)
        with store_fault_is("Failed to revoke API key"):
            record = self._store.revoke(key_id)
        if record is None:
            raise plain(404, "API key not found")
        self._audit("revoke", actor=who.username, keys=1, key_id=record.id, owner=record.username)
        return record

    def _may_touch(self, who: Identity, record: KeyRecord) -> bool:
        """Owner or admin. When the admin check fails the key stays hidden: an error would tell that it exists."""
        if record.username == who.username:
            return True
        try:
            return self._admins.is_admin(who)
        except AdminCheckError:
            _log.warning("admin check failed, the key stays hidden", exc_info=True)
            return False


@contextmanager
def counted_if_refused() -> Iterator[None]:
    """Count a mint that a rule about its life or its subscription refuses."""
    try:
        yield
    except (ApiError, PolicyError):
        metrics.mints.labels("rejected").inc()
        raise


@contextmanager
def policy_is_400() -> Iterator[None]:
    """Answer a broken rule with its sentence."""
    try:
        yield
    except PolicyError as fault:
        raise plain(400, str(fault)) from None


@contextmanager
def store_fault_is(message: str) -> Iterator[None]:
    """Answer a fault of the store with a constant; the details go to the log."""
    try:
        yield
    except sa.exc.SQLAlchemyError as fault:
        metrics.store_errors.labels("write").inc()
        _log.error("%s", message, exc_info=fault)
        raise plain(500, message) from fault
