"""How many keys one user may have, and how fast they may be made: counted in the transaction that makes one.

Users' mints take turns where a cap is set: on PostgreSQL by a lock of the user's name, on SQLite writers do anyway. So
two at once never both get the last place.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import sqlalchemy as sa

from maas_api.keys.statements.search import has_status
from maas_api.store.tables import api_keys

_MINUTE: Final = timedelta(minutes=1)
_LOCKS: Final = 0x6D616173  # "maas": apart from whoever else locks by number in this database
_TAKE_TURNS: Final = sa.text("SELECT pg_advisory_xact_lock(:locks, hashtext(:who))")


class Caps(NamedTuple):
    """Of each user: active keys, and mints in a minute. 0: any number."""

    active: int = 0
    in_a_minute: int = 0


class TooManyError(Exception):
    """The user has as many active keys as one may have; ``key_id`` and ``name`` are of the oldest."""

    def __init__(self, key_id: str, name: str) -> None:
        super().__init__(key_id, name)
        self.key_id = key_id
        self.name = name


class TooFastError(Exception):
    """The user made as many keys in the last minute as one may; ``seconds`` until the next."""

    def __init__(self, seconds: int) -> None:
        super().__init__(seconds)
        self.seconds = seconds


def admit(connection: sa.Connection, caps: Caps, tenant: str, username: str, now: datetime) -> None:
    """Let a user make another key in this transaction. Raises TooFastError, TooManyError."""
    if not any(caps):
        return
    if connection.dialect.name == "postgresql":
        connection.execute(_TAKE_TURNS, {"locks": _LOCKS, "who": f"{tenant}\n{username}"})
    keys = api_keys.c
    theirs = keys.username == username, keys.tenant == tenant
    if caps.in_a_minute:
        made = keys.created_at
        newest = sa.select(made).where(*theirs, made > now - _MINUTE).order_by(made.desc()).limit(caps.in_a_minute)
        times = connection.execute(newest).scalars().all()
        if len(times) == caps.in_a_minute:  # the next is free when the oldest of these is a minute old
            raise TooFastError(max(1, math.ceil((times[-1] + _MINUTE - now).total_seconds())))
    if caps.active:
        active = *theirs, has_status("active", now)
        count = connection.execute(sa.select(sa.func.count()).select_from(api_keys).where(*active)).scalar_one()
        if count >= caps.active:
            oldest = sa.select(keys.id, keys.name).where(*active).order_by(keys.created_at, keys.id).limit(1)
            found = connection.execute(oldest).one()
            raise TooManyError(found.id, found.name)
