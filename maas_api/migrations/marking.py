"""Marks limited keys that have no mark: those of before there was one, and those that an older version made meanwhile.

Only adds. A mark whose limit is lost is what keeps the key closed.
"""

from __future__ import annotations

import sqlalchemy as sa

from maas_api.store.database import Database
from maas_api.store.limits import BUDGET, LABEL, MODELS, PARENT

_AT_ONCE = 1_000
"""Keys of one transaction: their rows are locked until it ends."""
TABLES = {MODELS: "maas_key_models", BUDGET: "maas_key_budgets", PARENT: "maas_key_parents"}
_MARK = f"labels ->> '{LABEL}'"
_SET = {
    "postgresql": (
        f"coalesce(labels, '{{}}') || jsonb_build_object('{LABEL}', concat_ws(',', {_MARK}, CAST(:limit AS text)))"
    ),
    "sqlite": f"json_set(coalesce(labels, '{{}}'), '$.\"{LABEL}\"', coalesce({_MARK} || ',', '') || :limit)",
}


def ensure(database: Database) -> None:
    """Mark what is not marked; each start looks. Raises sqlalchemy.exc.SQLAlchemyError."""
    for limit in TABLES:
        while True:
            with database.writing() as connection:
                if mark(connection, limit, _AT_ONCE) < _AT_ONCE:
                    break


def unmarked(limit: str) -> str:
    """Selects the ids of keys that have this limit and no mark of it."""
    return (
        f"SELECT k.id FROM {TABLES[limit]} l JOIN api_keys k ON k.id = l.key_id"  # noqa: S608 -- all ours
        f" WHERE ',' || coalesce(k.{_MARK}, '') || ',' NOT LIKE '%,{limit},%'"
    )


def mark(connection: sa.Connection, limit: str, at_once: int) -> int:
    """Mark up to ``at_once`` keys that have this limit. How many there were."""
    statement = (
        f"UPDATE api_keys SET labels = {_SET[connection.dialect.name]}"  # noqa: S608 -- all ours
        f" WHERE id IN ({unmarked(limit)} LIMIT :at_once)"
    )
    return connection.execute(sa.text(statement), {"limit": limit, "at_once": at_once}).rowcount
