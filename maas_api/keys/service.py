"""What callers may do with one key: mint, read, revoke, rotate. Who may, and the answers to everyone else."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

import sqlalchemy as sa

from maas_api.audit.record import Draft
from maas_api.errors import ApiError, plain
from maas_api.identity.admin import AdminCheck, AdminCheckError
from maas_api.identity.headers import Identity
from maas_api.keys import format as key_format
from maas_api.keys import policy
from maas_api.keys.faults import (
    imported_key,
    limited_key,
    not_accepted,
    policy_is_400,
    refused_beyond,
    revocation_fault_is,
    store_fault_is,
)
from maas_api.keys.lineage import Held
from maas_api.keys.policy import UNLIMITED, Life, PolicyError, Spending
from maas_api.keys.record import KeyRecord
from maas_api.keys.statements import caps, lineage, rotation
from maas_api.keys.statements.caps import Caps
from maas_api.keys.statements.store import KeyStore
from maas_api.observability import metrics

_log = logging.getLogger(__name__)


class SubscriptionResolver(Protocol):
    """Which subscription a new key is bound to."""

    def resolve(self, who: Identity, requested: str) -> str:
        """The bare name. ``requested`` is ``ns/name``, ``name`` or ``""`` for the caller's best. Raises ApiError."""


class Minted(NamedTuple):
    """A key and its secret, which nobody will see again. ``dropped``: groups of its owner's that it does not carry."""

    secret: key_format.NewKey
    record: KeyRecord
    dropped: tuple[str, ...] = ()


class RotatedKey(NamedTuple):
    """A key with its new secret, and until when an earlier one of it validates."""

    secret: key_format.NewKey
    record: KeyRecord
    old_valid_until: datetime | None


class KeyService:
    """The key endpoints without HTTP. Every method raises ApiError with the answer for the caller."""

    def __init__(
        self,
        store: KeyStore,
        subscriptions: SubscriptionResolver,
        admins: AdminCheck,
        life: Life,
        rotation_grace_max: int,
        spending: Spending = UNLIMITED,
        limits: Caps = Caps(),  # noqa: B008 -- a tuple, so nobody can change it
    ) -> None:
        """``rotation_grace_max`` is seconds."""
        self._store = store
        self._subscriptions = subscriptions
        self._admins = admins
        self.life = life
        self.rotation_grace_max = rotation_grace_max
        self.spending = spending
        self._caps = limits

    def now(self) -> datetime:
        """The time statuses are computed at."""
        return self._store.now()

    def mint(self, who: Identity, asked: dict[str, Any], *, by: str | None = None) -> Minted:
        """Make a key. ``asked`` is a loaded ``MintBody``. The order of the checks is the wire contract's.

        ``by``: the API key that asks; what it makes is its child, and in nothing more than itself. Raises 401 for one
        that is not accepted, 403 for one with a budget, 409 and 429 for a user who has or makes too many.
        """
        parent = None if by is None else self._held(who, by)
        if parent is not None:
            if parent.imported:
                raise limited_key("that was imported from another gateway")
            if parent.budgets:  # what the new key spends would come on top
                raise limited_key("with a budget")
            who = Identity(who.username, parent.groups)
        with policy_is_400():
            ephemeral: bool = asked["ephemeral"]
            if not ephemeral and asked["name"] == "":
                raise PolicyError("name is required for non-ephemeral keys")
            labels = policy.labels(asked["labels"])
            name = asked["name"] or f"ephemeral-{time.time_ns()}"
            name = policy.name(name)
            description = policy.description(asked["description"])
            groups, dropped = policy.groups(who.groups)
            models = None if asked["models"] is None else policy.models(asked["models"])
            models = models if parent is None else parent.models_for(models)
            budgets = self.spending.of(asked.get("budget"))
        with policy_is_400(), counted_if_refused():
            life = self.life.of(policy.expires_in(asked["expiresIn"]), ephemeral=ephemeral)
        now = self._store.now()
        expires_at = now + timedelta(microseconds=life // 1_000)
        wanted = asked["subscription"].strip()
        if parent is not None:
            with policy_is_400(), counted_if_refused():
                expires_at = parent.end_for(expires_at, asked=asked["expiresIn"] is not None)
                wanted = parent.subscription_for(wanted)
        with counted_if_refused():
            subscription = self._subscriptions.resolve(who, wanted)
        if parent is not None and subscription != parent.subscription:  # one name, written with its namespace
            subscription = parent.subscription_for(subscription.rpartition("/")[2])
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
            expires_at=expires_at,
            last_used_at=None,
            ephemeral=ephemeral,
            labels=labels,
            models=models,
            budgets=budgets,
            parent="" if parent is None else parent.id,
        )

        def still_may(connection: sa.Connection) -> None:
            caps.admit(connection, self._caps, self._store.tenant, who.username, now)
            if by is not None and lineage.held(connection, self._store.tenant, _hash_of(by), now, lock=True) != parent:
                raise not_accepted("it has just changed; try again")

        with store_fault_is("Failed to create API key"), counted_if_refused(), refused_beyond(self._caps):
            try:
                gate = still_may if any(self._caps) or by is not None else None
                self._store.insert(record, secret.hash, _mint(who, record), gate=gate)
            except sa.exc.SQLAlchemyError:
                metrics.mints.labels("failure").inc()
                raise
        metrics.mints.labels("success").inc()
        return Minted(secret, record, dropped)

    def get(self, who: Identity, key_id: str) -> KeyRecord:
        """A key of the caller, or any of the tenant for an admin, who leaves a record. Raises 404 for every other."""
        record = self.find(who, key_id)
        if record.username != who.username:
            with store_fault_is("Failed to retrieve API key"):
                self._store.journal.note(
                    self._store.database, Draft("read", who.username, record.username), [record.id]
                )
        return record

    def find(self, who: Identity, key_id: str) -> KeyRecord:
        """As :meth:`get`, for a change of the key, which has a record of its own."""
        with store_fault_is("Failed to retrieve API key"):
            record = self._store.get(key_id)
        if record is None or not self._may_touch(who, record):
            raise plain(404, "API key not found")
        return record

    def revoke(self, who: Identity, key_id: str, *, keep_children: bool = False) -> KeyRecord:
        """Revoke a key that the caller may see and that is stored as active, and unless they are kept the keys that
        were minted with it. Raises 404 for every other.

        500 where the store does not take it: the key is then refused from memory, and the answer says how far that
        goes.
        """
        found = self.find(who, key_id)
        draft = Draft("revoke", who.username, found.username)
        with revocation_fault_is("Failed to revoke API key", refused=self._store.refused_meanwhile):
            record = self._store.revoke(key_id, draft, keep_children=keep_children)
        if record is None:
            raise plain(404, "API key not found")
        return record

    def rotate(
        self, who: Identity, key_id: str, *, grace_seconds: int, idempotency_key: str | None, by: str | None = None
    ) -> RotatedKey:
        """A new secret for a key of the caller that is active. The old one stays valid for ``grace_seconds``.

        ``by``: the API key that asks, which may be this one, or one that this one was minted with; 403 for any other.
        An admin may not: the answer holds a secret that acts in the owner's name. Raises 403 for an admin, 404 for
        everyone else, 400 for a grace beyond the limit, 409 for an Idempotency-Key whose rotation is history.
        """
        if not 0 <= grace_seconds <= self.rotation_grace_max:
            raise plain(400, f"graceSeconds must be from 0 to {self.rotation_grace_max}, got {grace_seconds}")
        owner = self.find(who, key_id).username
        draft = Draft("rotate", who.username, owner, {"graceSeconds": str(grace_seconds)})
        if owner != who.username:
            self._store.journal.refused(self._store.database, draft, [key_id])
            raise plain(403, "only its owner can rotate an API key")
        if by is not None and self._held(who, by).budgets:
            raise limited_key("with a budget")
        secret = key_format.make()
        asks = None if by is None else _hash_of(by)
        grace = timedelta(seconds=grace_seconds)
        with store_fault_is("Failed to rotate API key"):
            try:
                done = rotation.rotate(
                    self._store,
                    key_id,
                    secret.hash,
                    grace=grace,
                    idempotency_key=idempotency_key,
                    draft=draft,
                    by=asks,
                )
            except rotation.ImportedError:
                raise imported_key() from None
            except rotation.NotItsKeyError:
                raise plain(
                    403, "an API key rotates itself, by its newest secret, and keys that were minted with it; no other"
                ) from None
            except rotation.StaleRotationError:
                raise plain(409, "Idempotency-Key belongs to a rotation that another one has followed") from None
        if done is None:
            raise plain(404, "API key not found")
        return RotatedKey(secret, *done)

    def set_budget(self, who: Identity, key_id: str, value: Any) -> KeyRecord:
        """Replace a key's budgets; None takes them away. For admins: a budget that its holder can raise holds nobody.

        Raises 403 for the key's owner, 404 for everyone else who is no admin.
        """
        record = self.find(who, key_id)
        draft = Draft("budget", who.username, record.username)
        if not self._is_admin(who):  # then it is the caller's own
            self._store.journal.refused(self._store.database, draft, [key_id])
            raise plain(403, "only an admin can change an API key's budget")
        if record.imported:
            raise imported_key()
        with policy_is_400():
            budgets = () if value is None else policy.budgets(value)
        draft = draft._replace(details={"budget": ", ".join(map(str, budgets)) or "none"})
        with store_fault_is("Failed to change the API key's budget"):
            changed = self._store.set_budgets(key_id, budgets, draft)
        if changed is None:
            raise plain(404, "API key not found")
        return changed

    def _held(self, who: Identity, presented: str) -> Held:
        """The key that the caller presents. Raises 401 for one that is not good, or another user's."""
        with store_fault_is("Failed to look the API key up"), self._store.database.reading() as connection:
            found = lineage.held(connection, self._store.tenant, _hash_of(presented), self._store.now())
        if found is None:
            raise not_accepted("it is unknown, revoked, expired or opens nothing")
        if found.username != who.username:
            raise not_accepted("it is another user's")
        return found

    def _may_touch(self, who: Identity, record: KeyRecord) -> bool:
        """Owner or admin."""
        return record.username == who.username or self._is_admin(who)

    def _is_admin(self, who: Identity) -> bool:
        """No where the check fails: what a caller may not be shown stays hidden, an error would tell that it exists."""
        try:
            return self._admins.is_admin(who)
        except AdminCheckError:
            _log.warning("admin check failed, the key stays hidden", exc_info=True)
            return False


def _mint(who: Identity, record: KeyRecord) -> Draft:
    limits = {"models": ", ".join(record.models or ()), "budget": ", ".join(map(str, record.budgets))}
    expires = "" if record.expires_at is None else record.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    about = {"name": record.name, "subscription": record.subscription, "expires": expires, "parent": record.parent}
    return Draft(
        "mint", who.username, record.username, {**about, "ephemeral": "yes" if record.ephemeral else "", **limits}
    )


def _hash_of(presented: str) -> str:
    return key_format.hash_key(presented) or ""  # no key has this one


@contextmanager
def counted_if_refused() -> Iterator[None]:
    """Count a mint that a rule about its life or its subscription refuses."""
    try:
        yield
    except (ApiError, PolicyError):
        metrics.mints.labels("rejected").inc()
        raise
