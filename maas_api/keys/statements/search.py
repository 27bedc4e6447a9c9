"""Searching keys: the statement behind ``POST /v1/api-keys/search``."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from maas_api.keys.record import KeyRecord
from maas_api.keys.statements.rows import COLUMNS, record_of
from maas_api.keys.statements.store import KeyStore
from maas_api.store.tables import api_keys

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 100

STATUSES: Final = ("active", "revoked", "expired")
ORDERS: Final = ("created_at", "expires_at", "last_used_at", "name")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What to find. Ranges are inclusive at neither end; None means that a filter is not set."""

    username: str | None = None
    statuses: tuple[str, ...] = ()
    subscription: str | None = None
    include_ephemeral: bool = False
    labels: dict[str, str] = field(default_factory=dict)
    name_contains: str | None = None
    description_contains: str | None = None
    created: tuple[datetime | None, datetime | None] = (None, None)
    expires: tuple[datetime | None, datetime | None] = (None, None)
    last_used: tuple[datetime | None, datetime | None] = (None, None)
    has_expiration: bool | None = None
    has_been_used: bool | None = None
    order_by: str = "created_at"
    descending: bool = True
    limit: int = DEFAULT_LIMIT
    offset: int = 0


def statement(query: Query, tenant: str, now: datetime, *, postgres: bool) -> sa.Select[Any]:
    """One page and one row more, which tells whether there is another page."""
    keys = api_keys.c
    conditions: list[sa.ColumnElement[bool]] = [keys.tenant == tenant]
    if query.username is not None:
        conditions.append(keys.username == query.username)
    if query.statuses:
        conditions.append(sa.or_(*(has_status(status, now) for status in query.statuses)))
    if query.subscription is not None:
        conditions.append(keys.subscription == query.subscription)
    if not query.include_ephemeral:
        conditions.append(keys.ephemeral.is_(False))
    if query.labels:
        conditions.append(_labels_contain(query.labels, postgres=postgres))
    if query.name_contains:
        conditions.append(keys.name.icontains(query.name_contains, autoescape=True))
    if query.description_contains:
        conditions.append(keys.description.icontains(query.description_contains, autoescape=True))
    for column, (after, before) in (
        (keys.created_at, query.created),
        (keys.expires_at, query.expires),
        (keys.last_used_at, query.last_used),
    ):
        if after is not None:
            conditions.append(column > after)
        if before is not None:
            conditions.append(column < before)
    for column, wanted in ((keys.expires_at, query.has_expiration), (keys.last_used_at, query.has_been_used)):
        if wanted is not None:
            conditions.append(column.is_not(None) if wanted else column.is_(None))
    return (
        sa.select(*COLUMNS)
        .where(*conditions)
        .order_by(_order(query), keys.id)
        .limit(query.limit + 1)
        .offset(query.offset)
    )


def find(store: KeyStore, query: Query) -> tuple[list[KeyRecord], bool]:
    """One page of records, and whether there are more. Raises sqlalchemy.exc.SQLAlchemyError."""
    asked = statement(query, store.tenant, store.now(), postgres=store.database.postgres)
    with store.database.reading() as connection:
        rows = connection.execute(asked).all()
    return [record_of(row) for row in rows[: query.limit]], len(rows) > query.limit


def has_status(status: str, now: datetime) -> sa.ColumnElement[bool]:
    """The computed status: a key past its expiry is expired, whether or not that is stored."""
    keys = api_keys.c
    if status == "active":
        return sa.and_(keys.status == "active", sa.or_(keys.expires_at.is_(None), keys.expires_at >= now))
    if status == "expired":
        return sa.or_(keys.status == "expired", sa.and_(keys.status == "active", keys.expires_at < now))
    return keys.status == status


def _order(query: Query) -> sa.ColumnElement[Any]:
    column = api_keys.c[query.order_by]
    if not column.nullable:
        return column.desc() if query.descending else column.asc()
    return column.desc().nulls_last() if query.descending else column.asc().nulls_last()


def _labels_contain(labels: dict[str, str], *, postgres: bool) -> sa.ColumnElement[bool]:
    column = api_keys.c.labels
    if postgres:
        wanted = sa.literal(labels, postgresql.JSONB)
        return sa.type_coerce(column, postgresql.JSONB).contains(wanted)
    # The label rules leave no quote or backslash in a key, so quoting it makes a JSON path that means just that key.
    return sa.and_(*(sa.func.json_extract(column, f'$."{key}"') == value for key, value in labels.items()))
