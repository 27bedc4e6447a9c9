"""An operator with access to the database, acting on keys without a gateway in front. Audited like any caller."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterable
from typing import Any

from maas_api.audit import assembly as audit
from maas_api.audit.journal import no_key
from maas_api.audit.origin import COMMAND, Origin
from maas_api.audit.record import Draft
from maas_api.config import Settings
from maas_api.errors import plain
from maas_api.identity.admin import StaticAdmins
from maas_api.identity.headers import Identity
from maas_api.keys import moving
from maas_api.keys.assembly import key_service
from maas_api.keys.faults import store_fault_is
from maas_api.keys.fleet import BulkRevocation, KeyFleet
from maas_api.keys.record import KeyRecord
from maas_api.keys.service import Minted, RotatedKey
from maas_api.keys.statements import bulk
from maas_api.keys.statements import moving as statements
from maas_api.keys.statements.store import KeyStore


class Operator:
    """Mints for others, sees every key of the tenant, revokes and rotates any. Methods raise ApiError."""

    def __init__(self, settings: Settings, store: KeyStore) -> None:
        name = f"operator:{getpass.getuser()}"
        self._self = Identity(name, (name,))
        admins = StaticAdmins((name,), ())
        journal = audit.journal(settings, no_key, Origin(COMMAND, actor=name))
        store = KeyStore(store.database, store.tenant, now=store.now, journal=journal)
        self._keys = key_service(settings, store, _AsGiven(), admins)
        self._fleet = KeyFleet(store, admins)
        self._store = store
        self.now = store.now

    def create(self, owner: Identity, asked: dict[str, Any]) -> Minted:
        """A key that belongs to ``owner``; ``asked`` is a loaded ``MintBody`` whose subscription is bound as it is."""
        return self._keys.mint(owner, asked)

    def search(self, asked: dict[str, Any]) -> tuple[list[KeyRecord], bool]:
        """A page of the tenant's keys; ``asked`` is a loaded ``SearchBody``."""
        return self._fleet.search(self._self, asked)

    def show(self, key_id: str) -> KeyRecord:
        """One key."""
        return self._keys.get(self._self, key_id)

    def revoke(self, key_id: str, *, keep_children: bool = False) -> KeyRecord:
        """End a key, and the keys that were minted with it unless they are kept; every worker hears of it."""
        return self._keys.revoke(self._self, key_id, keep_children=keep_children)

    def bulk_revoke(self, username: str, subscription: str, *, dry_run: bool) -> BulkRevocation:
        """End a user's keys, a subscription's, or a user's in a subscription ("": any); or count them."""
        asked = {"username": username, "subscription": subscription, "dryRun": dry_run}
        return self._fleet.bulk_revoke(self._self, asked)

    def owners(self, which: Callable[[str], bool]) -> list[str]:
        """Those owners of active keys of whom this is true, by name."""
        return [name for name in bulk.owners_of_active(self._store) if which(name)]

    def rotate(self, key_id: str, grace_seconds: int) -> RotatedKey:
        """A new secret for anyone's key. Over HTTP only the owner may; whoever holds the database could anyway."""
        record = self._keys.find(self._self, key_id)
        owner = Identity(record.username, record.groups)
        return self._keys.rotate(owner, key_id, grace_seconds=grace_seconds, idempotency_key=None)

    def export(self, *, hashes: bool) -> list[dict[str, Any]]:
        """Every key of the tenant as the lines of a file; ``hashes`` makes it one that lets the keys in elsewhere."""
        with store_fault_is("Failed to export API keys"):
            found = statements.everything(self._store)
            draft = Draft("export", self._self.username, details={"hashes": "yes" if hashes else "no"})
            self._store.journal.note(self._store.database, draft, [one.record.id for one in found])
        head = moving.header(self._store.tenant, hashes=hashes, now=self.now())
        return [head, *(moving.line(one, hashes=hashes) for one in found), {"end": len(found)}]

    def take_in(self, lines: Iterable[bytes], *, foreign: bool, dry_run: bool, partly: bool) -> statements.Plan:
        """Import keys: our own export, or another gateway's hashes. ``partly``: also where some lines are wrong."""
        try:
            found, problems = self._read(lines, foreign=foreign)
        except moving.FileError as fault:
            raise plain(400, str(fault)) from None
        draft = Draft("import", self._self.username, details={"from": "another gateway" if foreign else "an export"})
        with store_fault_is("Failed to import API keys"):
            if dry_run or (problems and not partly):
                done = statements.plan(self._store, found)
            else:
                done = statements.take_in(self._store, found, draft, partly=partly)
        done.problems = sorted([*problems, *done.problems])
        return done

    def _read(self, lines: Iterable[bytes], *, foreign: bool) -> tuple[list[moving.Moved], list[moving.Problem]]:
        if not foreign:
            return moving.own(lines, self._store.tenant)
        days = self._keys.life.max_days
        return moving.foreign(lines, self._store.tenant, now=self.now(), max_days=days, spending=self._keys.spending)

    def set_budget(self, key_id: str, value: Any) -> KeyRecord:
        """Replace what a key may spend; None takes every limit away."""
        return self._keys.set_budget(self._self, key_id, value)


class _AsGiven:
    """Binds the subscription the operator names: there is no cluster to ask here."""

    def resolve(self, who: Identity, requested: str) -> str:
        """The requested name."""
        return requested
