"""Keys in the database, one at a time. Every change goes through :meth:`KeyStore.changing`, which announces it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from maas_api.keys import budget
from maas_api.keys.budget import Budgets
from maas_api.keys.record import KeyRecord
from maas_api.keys.statements.rows import COLUMNS, record_of
from maas_api.store import limits
from maas_api.store.announcements import announce
from maas_api.store.database import Database
from maas_api.store.tables import api_keys, key_budgets, key_models

Listener = Callable[[Sequence[str]], None]
"""Takes the ids of keys."""


class KeyStore:
    """The keys of one tenant. Every method raises sqlalchemy.exc.SQLAlchemyError when the store fails."""

    def __init__(
        self,
        database: Database,
        tenant: str,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.database = database
        self.tenant = tenant
        self.now = now
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
    def changing(self) -> Iterator[tuple[sa.Connection, list[str]]]:
        """A transaction and the list to put the ids of changed keys on. The only way to change a key."""
        changed: list[str] = []
        with self.database.writing() as connection:
            yield connection, changed
            announce(connection, changed, self.now())
        if changed:
            for listener in self._listeners:
                listener(changed)

    def insert(self, record: KeyRecord, key_hash: str) -> None:
        """Store a new key. Nothing needs to be announced: nobody can have asked for its hash before."""
        with self.database.writing() as connection:
            connection.execute(
                sa.insert(api_keys).values(
                    id=record.id,
                    username=record.username,
                    name=record.name,
                    description=record.description or None,
                    key_hash=key_hash,
                    status=record.status,
                    user_groups=list(record.groups),
                    created_at=record.created_at,
                    expires_at=record.expires_at,
                    ephemeral=record.ephemeral,
                    subscription=record.subscription,
                    tenant=self.tenant,
                    labels=limits.marked(record.labels, _limits_of(record)) or None,
                )
            )
            if record.models is not None:
                connection.execute(sa.insert(key_models).values(key_id=record.id, models=list(record.models)))
            if record.budgets:
                connection.execute(sa.insert(key_budgets).values(_budgets_of(record.id, record.budgets)))

    def get(self, key_id: str) -> KeyRecord | None:
        """A key of this tenant by id, or None."""
        if "\0" in key_id:  # PostgreSQL's text cannot hold it, so no key has such an id
            return None
        with self.database.reading() as connection:
            return self._get(connection, key_id)

    def revoke(self, key_id: str) -> KeyRecord | None:
        """Revoke a key that is stored as active, and give it back. None where there is none to revoke."""
        with self.revoking(lambda: [key_id]), self.changing() as (connection, changed):
            done = connection.execute(
                sa.update(api_keys).where(*self.mine(key_id), api_keys.c.status == "active").values(status="revoked")
            )
            if not done.rowcount:
                return None
            changed.append(key_id)
            return self._get(connection, key_id)

    def set_budgets(self, key_id: str, budgets: Budgets) -> KeyRecord | None:
        """Replace a key's budgets, and give it back. None where there is no such key."""
        with self.changing() as (connection, changed):
            record = self._get(connection, key_id)
            if record is None:
                return None
            # Whoever sets a budget decides about a lost one too; any other limit that is lost stays so.
            marks = _limits_of(replace(record, budgets=budgets)) | ({*record.lost_limits} - {limits.BUDGET})
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


def _limits_of(record: KeyRecord) -> set[str]:
    there = ((limits.MODELS, record.models is not None), (limits.BUDGET, bool(record.budgets)))
    return {limit for limit, limited in there if limited}


def _budgets_of(key_id: str, budgets: Budgets) -> dict[str, Any]:
    return {"key_id": key_id, "budgets": budget.as_json(budgets)}
