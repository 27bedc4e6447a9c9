"""What is spent and held of budgets: one row for each budget and period. Every change locks the row it changes.

Holds belong to generations of a quarter of an hour. What was held before the last one is let go: the call it was for
was never reported, or the worker that held it is gone. So a hold lasts a quarter of an hour at least and half an hour
at the most.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import sqlalchemy as sa

from maas_api.keys.budget import Budget, window
from maas_api.store.database import Database
from maas_api.store.tables import Moment
from maas_api.usage.rollup import Settlement

GENERATION_SECONDS: Final = 900
_KEPT: Final = timedelta(days=70)

use = sa.Table(
    "maas_budget_use",
    sa.MetaData(),
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("per", sa.Text, primary_key=True),
    sa.Column("begins", Moment, primary_key=True),
    sa.Column("used", sa.BigInteger, nullable=False),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("held", sa.BigInteger, nullable=False),
    sa.Column("held_before", sa.BigInteger, nullable=False),
)


class State(NamedTuple):
    """What is spent of a budget's period, and what is held by this generation and the one before."""

    used: int
    generation: int
    held: int
    before: int

    def at(self, generation: int) -> State:
        """The same in a later generation."""
        if generation <= self.generation:
            return self
        return State(self.used, generation, 0, self.held if generation == self.generation + 1 else 0)

    @property
    def taken(self) -> int:
        """Spent and held."""
        return self.used + self.held + self.before


class Lease(NamedTuple):
    """What a worker was given to hold, and where the budget stood after it."""

    tokens: int
    generation: int
    used: int
    taken: int


def generation_of(moment: datetime) -> int:
    """The number of the quarter of an hour."""
    return int(moment.timestamp()) // GENERATION_SECONDS


def lease(database: Database, key_id: str, budget: Budget, wanted: int, least: int, now: datetime) -> Lease:
    """Hold up to ``wanted`` tokens of a budget, a multiple of ``least``; fewer only where no more are left. Committed.

    Near its end a budget is given out in smaller parts, so that no worker holds what another one could spend. Raises
    sqlalchemy.exc.SQLAlchemyError.
    """
    with database.writing() as connection:
        begins, _ = window(budget.per, now)
        generation = generation_of(now)
        state = _locked(connection, database, key_id, budget.per, begins).at(generation)
        left = max(0, budget.tokens - state.taken)
        given = left if left <= least else max(1, min(wanted, left // 4) // least) * least
        state = state._replace(held=state.held + given)
        _write(connection, key_id, budget.per, begins, state)
    return Lease(given, state.generation, state.used, state.taken)


def give_back(database: Database, key_id: str, per: str, moment: datetime, tokens: int, generation: int) -> None:
    """Let go of tokens that were held in the period of ``moment`` and not used. Committed."""
    with database.writing() as connection:
        begins, _ = window(per, moment)
        state = _locked(connection, database, key_id, per, begins)
        _write(connection, key_id, per, begins, _released(state, tokens, generation))


class Bank:
    """Leases of one store's budgets."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def lease(self, key_id: str, budget: Budget, wanted: int, least: int, now: datetime) -> Lease:
        """See :func:`lease`."""
        return lease(self._database, key_id, budget, wanted, least, now)

    def give_back(self, key_id: str, per: str, moment: datetime, tokens: int, generation: int) -> None:
        """See :func:`give_back`."""
        give_back(self._database, key_id, per, moment, tokens, generation)


def settle(connection: sa.Connection, database: Database, calls: Iterable[Settlement], now: datetime) -> None:
    """Spend what calls took, and let go of what was held for them, in every period that is begun for their keys.

    Rows are taken in one order, so that two batches at once wait for each other and never deadlock.
    """
    by_key: dict[str, list[Settlement]] = {}
    for call in calls:
        by_key.setdefault(call.key_id, []).append(call)
    generation = generation_of(now)
    for key_id in sorted(by_key):
        known = (
            sa.select(use.c.per, use.c.begins).where(use.c.key_id == key_id).order_by(use.c.per, use.c.begins.desc())
        )
        newest: dict[str, datetime] = {}
        for per, begins in connection.execute(known):
            newest.setdefault(per, begins)
        for per in sorted(newest):
            groups: dict[datetime, list[Settlement]] = {}
            for call in by_key[key_id]:
                groups.setdefault(window(per, call.at)[0], []).append(call)
            for begins in sorted(groups):
                state = _locked(connection, database, key_id, per, begins).at(generation)
                for call in groups[begins]:
                    state = _released(state, *call.hold)
                    state = state._replace(used=state.used + call.tokens)
                _write(connection, key_id, per, begins, state)


def forget(connection: sa.Connection, now: datetime) -> None:
    """Delete the periods that are long over; a budget in all has one that never ends."""
    connection.execute(sa.delete(use).where(use.c.begins < now - _KEPT, use.c.per != "total"))


def state_of(database: Database, key_id: str, per: str, now: datetime) -> State:
    """Where a budget stands now."""
    with database.reading() as connection:
        return _read(connection, key_id, per, window(per, now)[0], lock=False).at(generation_of(now))


def _released(state: State, tokens: int, generation: int) -> State:
    if generation == state.generation:
        return state._replace(held=max(0, state.held - tokens))
    if generation == state.generation - 1:
        return state._replace(before=max(0, state.before - tokens))
    return state  # let go of long ago


def _locked(connection: sa.Connection, database: Database, key_id: str, per: str, begins: datetime) -> State:
    """The row, made where it is missing, held until the transaction ends."""
    connection.execute(
        sa.text(
            "INSERT INTO maas_budget_use (key_id, per, begins, used, generation, held, held_before)"
            " VALUES (:key_id, :per, :begins, 0, 0, 0, 0) ON CONFLICT DO NOTHING"
        ).bindparams(sa.bindparam("begins", type_=Moment)),
        {"key_id": key_id, "per": per, "begins": begins},
    )
    return _read(connection, key_id, per, begins, lock=database.postgres)


def _read(connection: sa.Connection, key_id: str, per: str, begins: datetime, *, lock: bool) -> State:
    asked = sa.select(use.c.used, use.c.generation, use.c.held, use.c.held_before).where(*_place(key_id, per, begins))
    row = connection.execute(asked.with_for_update() if lock else asked).first()
    return State(0, 0, 0, 0) if row is None else State(*row)


def _write(connection: sa.Connection, key_id: str, per: str, begins: datetime, state: State) -> None:
    values = {
        "used": state.used,
        "generation": state.generation,
        "held": state.held,
        "held_before": state.before,
    }
    connection.execute(sa.update(use).where(*_place(key_id, per, begins)).values(values))


def _place(key_id: str, per: str, begins: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    return use.c.key_id == key_id, use.c.per == per, use.c.begins == begins
