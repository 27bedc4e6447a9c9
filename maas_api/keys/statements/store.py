"""Keys in the database, one at a time. Every change goes through :meth:`KeyStore.changing`, which announces it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from maas_api.audit.journal import Journal, beside
from maas_api.audit.record import Draft
from maas_api.keys import budget
from maas_api.keys.budget import Budgets
from maas_api.keys.format import hash_key
from maas_api.keys.record import KeyRecord
from maas_api.keys.statements import lineage
from maas_api.keys.statements.rows import COLUMNS, record_of
from maas_api.store import limits
from maas_api.store.announcements import announce
from maas_api.store.database import Database
from maas_api.store.tables import api_keys, key_budgets, key_models, old_secrets

Listener = Callable[[Sequence[str]], None]
"""Takes the ids of keys."""
Gate = Callable[[sa.Connection], None]
"""Looks, in the transaction that makes a key, whether it may be made; raises where it may not."""

_MINTED: Final = tuple(column.name for column in api_keys.c if column.name != "last_used_at")
# Made once: to make them with their values took a fifth of a mint.
_INSERT: Final = sa.insert(api_keys)
_INSERT_RECORDED: Final = beside(
    f"INSERT INTO api_keys ({', '.join(_MINTED)}) VALUES ({', '.join(f'%({name})s' for name in _MINTED)})"  # noqa: S608
)


class KeyStore:
    """The keys of one tenant. Every method raises sqlalchemy.exc.SQLAlchemyError when the store fails."""

    def __init__(
        self,
        database: Database,
        tenant: str,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        journal: Journal | None = None,
    ) -> None:
        self.database = database
        self.tenant = tenant
        self.now = now
        self.journal = Journal(tenant) if journal is None else journal
        self._listeners: list[Listener] = []
        self._refusers: list[Listener] = []

    def tell(self, listener: Listener, *, unwritten: Listener | None = None) -> None:
        """Have ``listener`` told the ids after each commit: this process need not wait for its own announcement.

        ``unwritten`` is told the ids of keys whose revocation the store did not take.
        """
        self._listeners.append(listener)
        if unwritten is not None:
            self._refusers.append(unwritten)

    @property
    def refused_meanwhile(self) -> bool:
        """Whether somebody refuses the keys whose revocation the store does not take."""
        return bool(self._refusers)

    @contextmanager
    def revoking(self, key_ids: Callable[[], Sequence[str]]) -> Iterator[None]:
        """Around a revocation: when the store does not take it, its keys (asked for then) are refused meanwhile."""
        try:
            yield
        except sa.exc.SQLAlchemyError:
            if self._refusers:
                found = key_ids()
                for refuser in self._refusers:
                    refuser(found)
            raise

    @contextmanager
    def changing(self, draft: Draft | None) -> Iterator[tuple[sa.Connection, list[str]]]:
        """A transaction and the list to put the ids of changed keys on. The only way to change a key.

        ``draft`` is recorded in it; None where nobody asked for the change.
        """
        changed: list[str] = []
        with self.recording(draft, changed) as connection:
            yield connection, changed
            announce(connection, changed, self.now())
        if changed:
            for listener in self._listeners:
                listener(changed)

    @contextmanager
    def recording(self, draft: Draft | None, changed: Sequence[str]) -> Iterator[sa.Connection]:
        """A transaction that ends in the record of it, unless there is no draft, or nothing changed to speak of."""
        entry = None
        try:
            with self.database.writing() as connection:
                yield connection
                if draft is not None and (changed or draft.always):
                    entry = self.journal.write(connection, draft, changed)
        except sa.exc.SQLAlchemyError:
            if draft is not None:
                self.journal.failed(draft)
            raise
        if entry is not None:
            self.journal.told(entry)

    def insert(self, record: KeyRecord, key_hash: str, draft: Draft | None = None, *, gate: Gate | None = None) -> None:
        """Store a new key, where ``gate`` lets it. Nothing needs to be announced: nobody has asked for its hash yet."""
        row = {
            "id": record.id,
            "username": record.username,
            "name": record.name,
            "description": record.description or None,
            "key_hash": key_hash,
            "status": record.status,
            "user_groups": list(record.groups),
            "created_at": record.created_at,
            "expires_at": record.expires_at,
            "ephemeral": record.ephemeral,
            "subscription": record.subscription,
            "tenant": self.tenant,
            "labels": limits.marked(record.labels, limits_of(record)) or None,
        }
        more = gate is not None or record.models is not None or record.budgets or record.parent
        if self.database.postgres and draft is not None and not more:
            from psycopg.types.json import Jsonb  # the driver, where it is the store's

            values = {**row, "labels": row["labels"] and Jsonb(row["labels"])}
            if self.journal.at_once(self.database, _INSERT_RECORDED, values, draft, [record.id]):
                return
        with self.recording(draft, [record.id]) as connection:
            if gate is not None:
                gate(connection)
            connection.execute(_INSERT, row)
            if record.models is not None:
                connection.execute(sa.insert(key_models).values(key_id=record.id, models=list(record.models)))
            if record.budgets:
                connection.execute(sa.insert(key_budgets).values(_budgets_of(record.id, record.budgets)))
            if record.parent:
                lineage.adopt(connection, record.id, record.parent)

    def get(self, key_id: str) -> KeyRecord | None:
        """A key of this tenant by id, or None."""
        if "\0" in key_id:  # PostgreSQL's text cannot hold it, so no key has such an id
            return None
        with self.database.reading() as connection:
            return self._get(connection, key_id)

    def revoke(self, key_id: str, draft: Draft | None = None, *, keep_children: bool = False) -> KeyRecord | None:
        """Revoke a key that is stored as active, and give it back. None where there is none to revoke.

        The keys that were minted with it end too, unless they are kept: then they are its own parent's.
        """
        with self.revoking(lambda: self._ending(key_id, keep_children)), self.changing(draft) as (connection, changed):
            done = connection.execute(
                sa.update(api_keys).where(*self.mine(key_id), api_keys.c.status == "active").values(status="revoked")
            )
            if not done.rowcount:
                return None
            changed.append(key_id)
            if keep_children:
                lineage.let_go(connection, key_id)
            changed += lineage.end(connection, self.tenant, [key_id])
            return self._get(connection, key_id)

    def _ending(self, key_id: str, keep_children: bool) -> list[str]:
        """What the store did not take: the key, and as far as it still answers, those that end with it."""
        found: list[str] = []
        if not keep_children:
            with contextlib.suppress(sa.exc.SQLAlchemyError), self.database.reading() as connection:
                found = lineage.below(connection, [key_id])
        return [key_id, *found]

    def set_budgets(self, key_id: str, budgets: Budgets, draft: Draft | None = None) -> KeyRecord | None:
        """Replace a key's budgets, and give it back. None where there is no such key."""
        with self.changing(draft) as (connection, changed):
            record = self._get(connection, key_id)
            if record is None:
                return None
            # Whoever sets a budget decides about a lost one too; any other limit that is lost stays so.
            marks = limits_of(replace(record, budgets=budgets)) | ({*record.lost_limits} - {limits.BUDGET})
            labels = limits.marked(record.labels, marks) or None
            connection.execute(sa.update(api_keys).where(*self.mine(key_id)).values(labels=labels))
            connection.execute(sa.delete(key_budgets).where(key_budgets.c.key_id == key_id))
            if budgets:
                connection.execute(sa.insert(key_budgets).values(_budgets_of(key_id, budgets)))
            changed.append(key_id)
            return self._get(connection, key_id)

    def mine(self, key_id: str) -> tuple[sa.ColumnElement[bool], ...]:
        """The condition that picks this tenant's key."""
        return api_keys.c.id == key_id, api_keys.c.tenant == self.tenant

    def _get(self, connection: sa.Connection, key_id: str) -> KeyRecord | None:
        row = connection.execute(sa.select(*COLUMNS).where(*self.mine(key_id))).first()
        return None if row is None else record_of(row)


def id_of(tenant: str, connection: sa.Connection, presented: str) -> str:
    """The id of the tenant's key with this secret, a replaced one too; "" where there is none."""
    key_hash = hash_key(presented)
    if key_hash is None:
        return ""
    now = sa.select(api_keys.c.id).where(api_keys.c.key_hash == key_hash, api_keys.c.tenant == tenant)
    before = sa.select(old_secrets.c.key_id).where(old_secrets.c.key_hash == key_hash, old_secrets.c.tenant == tenant)
    return connection.execute(sa.union_all(now, before)).scalar() or ""


def limits_of(record: KeyRecord) -> set[str]:
    """The limits that its mark names."""
    there = {
        limits.MODELS: record.models is not None,
        limits.BUDGET: bool(record.budgets),
        limits.PARENT: bool(record.parent),
        limits.IMPORTED: record.imported,
    }
    return {limit for limit, limited in there.items() if limited}


def _budgets_of(key_id: str, budgets: Budgets) -> dict[str, Any]:
    return {"key_id": key_id, "budgets": budget.as_json(budgets)}
