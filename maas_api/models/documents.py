"""The statements that keep registry documents in the store."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from maas_api.models.lastgood import Document
from maas_api.store.database import Database
from maas_api.store.tables import registry_documents as table


class StoredDocuments:
    """The table ``maas_registry_documents``, one row for each registry. Raises what the driver raises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, name: str) -> Document | None:
        """The one that is kept, None without one."""
        statement = sa.select(table.c.uid, table.c.version, table.c.created, table.c.document).where(
            table.c.name == name
        )
        with self._database.reading() as connection:
            row = connection.execute(statement).first()
        return None if row is None else Document(name, row.uid, row.version, row.created, row.document)

    def keep(self, document: Document) -> None:
        """Keep it, unless a newer state of the same object is."""
        values = {
            "name": document.name,
            "uid": document.uid,
            "version": document.version,
            "created": document.created,
            "document": document.text,
            "kept_at": datetime.now(UTC),
        }
        insert = postgresql.insert if self._database.postgres else sqlite.insert
        statement = insert(table).values(values)
        fresh = statement.excluded
        statement = statement.on_conflict_do_update(
            index_elements=[table.c.name],
            set_={name: fresh[name] for name in values if name != "name"},
            where=sa.or_(table.c.uid != fresh.uid, table.c.version <= fresh.version),
        )
        with self._database.writing() as connection:
            connection.execute(statement)

    def forget(self, name: str, version: int) -> None:
        """Drop it, unless it is newer than ``version``."""
        statement = sa.delete(table).where(table.c.name == name, table.c.version <= version)
        with self._database.writing() as connection:
            connection.execute(statement)
