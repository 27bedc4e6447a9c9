"""Keys with everything that belongs to them, out of a store and into one, each in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from maas_api.audit.record import Draft
from maas_api.keys import budget
from maas_api.keys.moving import Moved, OldSecret, Problem, Spent, secrets
from maas_api.keys.statements import lineage
from maas_api.keys.statements.rows import COLUMNS, record_of
from maas_api.keys.statements.store import KeyStore, limits_of
from maas_api.store import limits
from maas_api.store.announcements import announce
from maas_api.store.database import Database
from maas_api.store.tables import Moment, api_keys, key_budgets, key_models, key_parents, old_secrets

_T = TypeVar("_T")
_BATCH: Final = 1_000  # keys of one statement

_budget_use = sa.table(
    "maas_budget_use",
    *(sa.column(name, sa.Text) for name in ("key_id", "per")),
    sa.column("begins", Moment),
    *(sa.column(name, sa.BigInteger) for name in ("used", "generation", "held", "held_before")),
)
"""What is spent of budgets, which :mod:`maas_api.usage` counts: a key that has spent its own stays closed."""


@dataclass
class Plan:
    """What an import comes to. ``kept``: keys that are here already, otherwise than in the file; they stay as they are.
    ``ended``: keys that are active here and revoked in the file."""

    new: list[Moved] = field(default_factory=list)
    ended: list[Moved] = field(default_factory=list)
    same: list[Moved] = field(default_factory=list)
    kept: list[Moved] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def everything(store: KeyStore) -> list[Moved]:
    """Every key of the tenant, as of one moment, by id."""
    found: list[Moved] = []
    with _snapshot(store.database) as connection:
        while True:
            after = found[-1].record.id if found else ""
            page = _read(connection, store, api_keys.c.id > after, limit=_BATCH)
            found += page
            if len(page) < _BATCH:
                return found


def plan(store: KeyStore, moved: Sequence[Moved]) -> Plan:
    """What an import would come to now."""
    with store.database.reading() as connection:
        return _plan(connection, store, moved)


def take_in(store: KeyStore, moved: Sequence[Moved], draft: Draft, *, partly: bool) -> Plan:
    """Import keys. Nothing is changed where one of them is a problem, unless ``partly``."""
    changed: list[str] = []
    with store.recording(draft, changed) as connection:
        found = _plan(connection, store, moved)
        if found.problems and not partly:
            return found
        for part in _parts(found.new):
            _insert(connection, store, part)
        changed += [one.record.id for one in found.new]
        ended = [one.record.id for one in found.ended]
        for ids in _parts(ended):
            which = api_keys.c.id.in_(ids), api_keys.c.tenant == store.tenant
            connection.execute(sa.update(api_keys).where(*which).values(status="revoked"))
        ended += lineage.end(connection, store.tenant, ended)
        changed += ended
        announce(connection, ended, store.now())
    return found


def _plan(connection: sa.Connection, store: KeyStore, moved: Sequence[Moved]) -> Plan:
    found, now = Plan(), store.now()
    moved = [replace(one, old=tuple(old for old in one.old if old.expires_at > now)) for one in moved]
    for part in _parts(moved):
        here = {one.record.id: one for one in _read(connection, store, api_keys.c.id.in_([m.record.id for m in part]))}
        taken = _elsewhere(connection, part)
        owners = _owners(connection, store, part)
        for one in part:
            known = here.get(one.record.id)
            if known is None and one.record.id in taken:
                found.problems.append(Problem(one.line, "id: is that of a key of another tenant"))
            elif any(owners.get(each, one.record.id) != one.record.id for each in secrets(one)):
                found.problems.append(Problem(one.line, "hash: is that of another key here"))
            elif known is None:
                found.new.append(one)
            elif _same(one, known):
                found.same.append(one)
            elif one.record.status == "revoked" and known.record.status == "active":
                found.ended.append(one)
            else:
                found.kept.append(one)
    return found


def _same(one: Moved, known: Moved) -> bool:
    """Whether a key is as the file has it. When it was used last and what it spent goes on; of an imported one the file
    does not say when it came."""
    unsaid: dict[str, Any] = {"last_used_at": None}
    if one.record.imported:
        unsaid |= {"created_at": known.record.created_at, "budgets": ()}
    return replace(one, record=replace(one.record, **unsaid)) == replace(known, record=replace(known.record, **unsaid))


def _elsewhere(connection: sa.Connection, part: Sequence[Moved]) -> set[str]:
    """Ids of these that any key has."""
    asked = sa.select(api_keys.c.id).where(api_keys.c.id.in_([one.record.id for one in part]))
    return set(connection.execute(asked).scalars())


def _owners(connection: sa.Connection, store: KeyStore, part: Sequence[Moved]) -> dict[str, str]:
    """Whose each of these hashes is."""
    hashes = [each for one in part for each in secrets(one)]
    found: dict[str, str] = {}
    for table, owner in ((api_keys, api_keys.c.id), (old_secrets, old_secrets.c.key_id)):
        asked = sa.select(table.c.key_hash, owner).where(table.c.tenant == store.tenant, table.c.key_hash.in_(hashes))
        found |= {row[0]: row[1] for row in connection.execute(asked)}
    return found


def _insert(connection: sa.Connection, store: KeyStore, part: Sequence[Moved]) -> None:
    rows = [
        {
            "id": key.id, "username": key.username, "name": key.name, "description": key.description or None,
            "key_hash": one.hash, "status": key.status, "user_groups": list(key.groups), "created_at": key.created_at,
            "expires_at": key.expires_at, "last_used_at": key.last_used_at, "ephemeral": key.ephemeral,
            "subscription": key.subscription, "tenant": store.tenant,
            "labels": limits.marked(key.labels, limits_of(key) | {*key.lost_limits}) or None,
        }
        for one in part
        for key in (one.record,)
    ]  # fmt: skip
    _insert_all(connection, api_keys, rows)
    keys = [one.record for one in part]
    _insert_all(
        connection, key_models, [{"key_id": k.id, "models": list(k.models)} for k in keys if k.models is not None]
    )
    _insert_all(
        connection, key_budgets, [{"key_id": k.id, "budgets": budget.as_json(k.budgets)} for k in keys if k.budgets]
    )
    parents = [{"key_id": m.record.id, "parent_id": m.record.parent, "bound": m.bound} for m in part if m.record.parent]
    _insert_all(connection, key_parents, parents)
    _insert_all(
        connection,
        old_secrets,
        [
            {"key_hash": old.hash, "tenant": store.tenant, "key_id": one.record.id, "expires_at": old.expires_at}
            for one in part
            for old in one.old
        ],
    )
    nothing = {"generation": 0, "held": 0, "held_before": 0}
    _insert_all(
        connection, _budget_use, [{"key_id": m.record.id, **s._asdict(), **nothing} for m in part for s in m.spent]
    )


def _insert_all(connection: sa.Connection, table: sa.TableClause, rows: list[dict[str, Any]]) -> None:
    """In place of what is left of a key of that id."""
    if not rows:
        return
    if table is not api_keys and "key_id" in table.c:
        connection.execute(sa.delete(table).where(table.c.key_id.in_({row["key_id"] for row in rows})))
    connection.execute(sa.insert(table), rows)


def _read(
    connection: sa.Connection, store: KeyStore, which: sa.ColumnElement[bool], *, limit: int | None = None
) -> list[Moved]:
    keys = api_keys.c
    bound = sa.select(key_parents.c.bound).where(key_parents.c.key_id == keys.id).scalar_subquery().label("bound")
    asked = sa.select(*COLUMNS, keys.key_hash, bound).where(keys.tenant == store.tenant, which)
    rows = connection.execute(asked.order_by(keys.id).limit(limit)).all()
    ids = [row.id for row in rows]
    old: dict[str, list[OldSecret]] = {}
    earlier = sa.select(old_secrets).where(old_secrets.c.key_id.in_(ids), old_secrets.c.tenant == store.tenant)
    earlier = earlier.where(old_secrets.c.expires_at > store.now())
    for row in connection.execute(earlier.order_by(old_secrets.c.key_hash)):
        old.setdefault(row.key_id, []).append(OldSecret(row.key_hash, row.expires_at))
    spent: dict[str, list[Spent]] = {}
    used = sa.select(_budget_use).where(_budget_use.c.key_id.in_(ids))
    for row in connection.execute(used.order_by(_budget_use.c.per, _budget_use.c.begins)):
        spent.setdefault(row.key_id, []).append(Spent(row.per, row.begins, row.used + row.held + row.held_before))
    return [
        Moved(record_of(row), row.key_hash, bool(row.bound), tuple(old.get(row.id, ())), tuple(spent.get(row.id, ())))
        for row in rows
    ]


@contextmanager
def _snapshot(database: Database) -> Iterator[sa.Connection]:
    """A connection that sees one state of the store throughout."""
    if not database.postgres:
        with database.reading() as connection:
            yield connection
        return
    with database.engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        yield connection


def _parts(items: Sequence[_T]) -> Iterable[Sequence[_T]]:
    return (items[start : start + _BATCH] for start in range(0, len(items), _BATCH))
