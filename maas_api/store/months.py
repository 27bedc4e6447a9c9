"""Tables of PostgreSQL that are partitioned by month of a time: a partition made before it is needed, dropped when it
is old. Neither waits for, nor holds up, those who read and write the others.

``CREATE TABLE ... PARTITION OF`` and ``DROP TABLE`` of a partition lock the whole table. ``ATTACH PARTITION`` and
``DETACH PARTITION CONCURRENTLY`` do not (PostgreSQL's manual, 5.12.2.2 and ALTER TABLE): so a partition is made beside
the table and attached, and detached before it is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import sqlalchemy as sa

_LOCK = 0x6D616173_6D6F6E74  # "maasmont"
_NAME = re.compile(r"_(\d{4})_(\d{2})$")


def month_of(moment: datetime) -> datetime:
    """The first moment of the month, in UTC."""
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def next_month(month: datetime) -> datetime:
    """The first moment of the month after."""
    return month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)


def ensure(connection: sa.Connection, table: str, moment: datetime, *, fill: int = 70) -> None:
    """Have a partition for the month of ``moment``, within the caller's transaction. Free where there is one.

    ``fill``: percent of a page that new rows take. Where rows are updated again and again within their hour, the room
    left keeps those updates out of the indexes.
    """
    month = month_of(moment)
    name = f"{table}_{month:%Y_%m}"
    if _attached(connection, table, name):
        return
    connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    if _attached(connection, table, name):
        return
    connection.exec_driver_sql(
        f"CREATE TABLE IF NOT EXISTS {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"
        f" WITH (fillfactor = {fill})"
    )
    connection.exec_driver_sql(
        f"ALTER TABLE {table} ATTACH PARTITION {name}"
        f" FOR VALUES FROM ('{month.isoformat()}') TO ('{next_month(month).isoformat()}')"
    )


def drop_before(engine: sa.Engine, table: str, moment: datetime) -> list[str]:
    """Drop every partition that ends at ``moment`` or before; gives their names."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        dropped = []
        for name, month in list(_partitions(connection, table)):
            if next_month(month) > moment:
                continue
            state = _state(connection, table, name)
            if state is not None:
                how = "FINALIZE" if state else "CONCURRENTLY"  # an earlier one was cut short, or this is the first
                connection.exec_driver_sql(f"ALTER TABLE {table} DETACH PARTITION {name} {how}")
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {name}")
            dropped.append(name)
        return dropped


def _attached(connection: sa.Connection, table: str, name: str) -> bool:
    return _state(connection, table, name) is False


def _state(connection: sa.Connection, table: str, name: str) -> bool | None:
    """Whether the partition is about to be detached; None where it is none."""
    found: bool | None = connection.execute(
        sa.text(
            "SELECT inhdetachpending FROM pg_inherits"
            " WHERE inhparent = to_regclass(:table) AND inhrelid = to_regclass(:name)"
        ),
        {"table": table, "name": name},
    ).scalar()
    return found


def _partitions(connection: sa.Connection, table: str) -> Iterator[tuple[str, datetime]]:
    """Tables named like partitions, attached or left behind by a drop that was interrupted."""
    names = connection.execute(
        sa.text(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE :pattern"
            " AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass(:table)) ORDER BY relname"
        ),
        {"pattern": table.replace("_", r"\_") + r"\_%", "table": table},
    ).scalars()
    for name in names:
        found = _NAME.search(name)
        if found and name == f"{table}{found.group()}":
            yield name, datetime(int(found.group(1)), int(found.group(2)), 1, tzinfo=UTC)
