"""Whether there is nothing to migrate, asked in one statement: nearly every start finds what the one before it left.

PostgreSQL only: asking a file takes no time.
"""

from __future__ import annotations

import sqlalchemy as sa

from maas_api.migrations import announcing, marking
from maas_api.migrations.indexes import POSTGRES
from maas_api.store.database import Database

_ASKED = sa.text(
    f"""
    SELECT
        (SELECT array_agg(version_num) FROM maas_schema_version),
        (SELECT array_agg(version) FROM schema_migrations WHERE NOT dirty),
        (SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
            JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE i.indisvalid AND n.nspname = current_schema() AND c.relname = ANY(CAST(:indexes AS text[]))),
        ({announcing.FOUND}),
        {" OR ".join(f"EXISTS ({marking.unmarked(limit)})" for limit in marking.TABLES)}
    """  # noqa: S608 -- all ours
)


def settled(database: Database, ours: str, theirs: int) -> bool:
    """Whether the newest revision is ``ours``, the Go service's version ``theirs``, and all that each start looks after
    is in place. Where that cannot be asked, it is not. Raises sqlalchemy.exc.OperationalError when the database does
    not answer.
    """
    try:
        with database.reading() as connection:
            asked = connection.execute(_ASKED, {"indexes": [name for name, _ in POSTGRES]})
            found, their, indexes, triggers, unmarked = asked.one()
    except sa.exc.ProgrammingError:  # a table is not there yet
        return False
    return (found, their, indexes, unmarked) == ([ours], [theirs], len(POSTGRES), False) and announcing.complete(
        triggers or {}
    )
