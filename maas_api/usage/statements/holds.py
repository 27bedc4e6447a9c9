"""What is spent and held of budgets: one row for each budget and period. Every change locks the row it changes.

A budget's holder is a key (its id) or what a subscription limits (:func:`maas_api.usage.budgets.claims.holder`); both
stand in the column ``key_id``. Amounts are tokens, or billionths of the currency that the account (``per``) names.

Holds belong to generations of a quarter of an hour. What was held before the last one is let go (or spent, where that
is wanted): the call it was for was never reported, or the worker that held it is gone. So a hold lasts a quarter of an
hour at least and half an hour at the most.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple, TypeVar

import sqlalchemy as sa

from maas_api.keys.budget import Budget, currency_of, window
from maas_api.store.database import Database
from maas_api.store.tables import Moment
from maas_api.usage.rollup import Settlement

GENERATION_SECONDS: Final = 900
_PORTION: Final = 1_000
_KEPT: Final = timedelta(days=2)  # usage may arrive a day late

T = TypeVar("T")

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


class Place(NamedTuple):
    """A row: whose, the budget's account, and the beginning of its period."""

    holder: str
    account: str
    begins: datetime


class State(NamedTuple):
    """What is spent of a budget's period, and what is held by this generation and the one before."""

    used: int
    generation: int
    held: int
    before: int

    def at(self, generation: int, *, keep: bool) -> State:
        """The same in a later generation. ``keep``: what nobody reported in time is spent, not let go."""
        if generation <= self.generation:
            return self
        before = self.held if generation == self.generation + 1 else 0
        gone = self.held + self.before - before
        return State(self.used + (gone if keep else 0), generation, 0, before)

    @property
    def taken(self) -> int:
        """Spent and held."""
        return self.used + self.held + self.before


class Lease(NamedTuple):
    """What a worker was given to hold, and where the budget stood after it."""

    amount: int
    generation: int
    used: int
    taken: int


_NEW: Final = State(0, 0, 0, 0)


def generation_of(moment: datetime) -> int:
    """The number of the quarter of an hour."""
    return int(moment.timestamp()) // GENERATION_SECONDS


def lease(
    database: Database, holder: str, budget: Budget, wanted: int, least: int, now: datetime, *, keep: bool = False
) -> Lease:
    """Hold up to ``wanted`` of a budget, a multiple of ``least``; fewer only where no more is left. Committed.

    Near its end a budget is given out in smaller parts, so that no worker holds what another one could spend. Raises
    sqlalchemy.exc.SQLAlchemyError.
    """
    with database.writing() as connection:
        place = Place(holder, budget.account, window(budget.per, now)[0])
        generation = generation_of(now)
        state = _locked(connection, [place], database)[place].at(generation, keep=keep)
        left = max(0, budget.amount - state.taken)
        given = left if left <= least else max(1, min(wanted, left // 4) // least) * least
        state = state._replace(held=state.held + given)
        _write(connection, {place: state})
    return Lease(given, state.generation, state.used, state.taken)


def give_back(database: Database, holder: str, budget: Budget, moment: datetime, amount: int, generation: int) -> None:
    """Let go of what was held in the period of ``moment`` and not used. Committed."""
    with database.writing() as connection:
        place = Place(holder, budget.account, window(budget.per, moment)[0])
        state = _locked(connection, [place], database)[place]
        _write(connection, {place: _released(state, amount, generation)})


class Bank:
    """Leases of one store's budgets. ``keep``: see :meth:`State.at`."""

    def __init__(self, database: Database, *, keep: bool = False) -> None:
        self._database = database
        self._keep = keep

    def lease(self, holder: str, budget: Budget, wanted: int, least: int, now: datetime) -> Lease:
        """See :func:`lease`."""
        return lease(self._database, holder, budget, wanted, least, now, keep=self._keep)

    def give_back(self, holder: str, budget: Budget, moment: datetime, amount: int, generation: int) -> None:
        """See :func:`give_back`."""
        give_back(self._database, holder, budget, moment, amount, generation)


def settle(
    connection: sa.Connection, database: Database, calls: Iterable[Settlement], now: datetime, *, keep: bool = False
) -> None:
    """Spend what calls took, and let go of what was held for them, in every period that is begun for their holders."""
    by_holder: dict[str, list[Settlement]] = {}
    for call in calls:
        for holder in call.holders:
            by_holder.setdefault(holder, []).append(call)
    by_place: dict[Place, list[Settlement]] = {}
    for some in _portions(sorted(by_holder)):
        accounts = sa.select(use.c.key_id, use.c.per).distinct().where(use.c.key_id.in_(some))
        for holder, account in connection.execute(accounts):
            for call in by_holder[holder]:
                by_place.setdefault(Place(holder, account, window(account, call.at)[0]), []).append(call)
    generation = generation_of(now)
    states = _locked(connection, by_place, database)
    for place, settled in by_place.items():
        currency, state = currency_of(place.account), states[place].at(generation, keep=keep)
        for call in settled:
            held = call.hold.cost if currency else call.hold.tokens
            state = _released(state, held, call.hold.generation)
            state = state._replace(used=state.used + call.spent(currency))
        states[place] = state
    _write(connection, states)


def forget(connection: sa.Connection, now: datetime) -> None:
    """Delete the periods that were over two days ago; a budget in all has one that never ends."""
    known = connection.scalars(sa.select(use.c.per).distinct().where(use.c.begins < now - _KEPT)).all()
    for account in known:
        begins, ends = window(account, now)
        if ends is not None:
            connection.execute(sa.delete(use).where(use.c.per == account, use.c.begins < begins - _KEPT))


def state_of(database: Database, holder: str, budget: Budget, now: datetime, *, keep: bool = False) -> State:
    """Where a budget stands now."""
    place = Place(holder, budget.account, window(budget.per, now)[0])
    with database.reading() as connection:
        return _read(connection, [place]).get(place, _NEW).at(generation_of(now), keep=keep)


def _released(state: State, amount: int, generation: int) -> State:
    if generation == state.generation:
        return state._replace(held=max(0, state.held - amount))
    if generation == state.generation - 1:
        return state._replace(before=max(0, state.before - amount))
    return state  # let go of long ago


def _locked(connection: sa.Connection, places: Iterable[Place], database: Database) -> dict[Place, State]:
    """The rows, made where they are missing, held until the transaction ends.

    They are taken in one order, so that two at once wait for each other and never deadlock.
    """
    ordered = sorted(places)
    if not ordered:
        return {}
    rows = [dict(zip(("key_id", "per", "begins"), place, strict=True)) for place in ordered]
    connection.execute(_MAKE, rows)
    return dict.fromkeys(ordered, _NEW) | _read(connection, ordered, lock=database.postgres)


def _read(connection: sa.Connection, places: Sequence[Place], *, lock: bool = False) -> dict[Place, State]:
    here = sa.tuple_(use.c.key_id, use.c.per, use.c.begins)
    found: dict[Place, State] = {}
    for some in _portions(places):
        asked = sa.select(use).where(here.in_(some)).order_by(use.c.key_id, use.c.per, use.c.begins)
        rows = connection.execute(asked.with_for_update() if lock else asked)
        found |= {Place(*row[:3]): State(*row[3:]) for row in rows}
    return found


def _portions(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Parts that fit into one statement."""
    for begin in range(0, len(items), _PORTION):
        yield items[begin : begin + _PORTION]


def _write(connection: sa.Connection, states: Mapping[Place, State]) -> None:
    if states:
        connection.execute(
            _CHANGE,
            [
                {
                    "at_key": place.holder,
                    "at_per": place.account,
                    "at_begins": place.begins,
                    "used": state.used,
                    "generation": state.generation,
                    "held": state.held,
                    "held_before": state.before,
                }
                for place, state in states.items()
            ],
        )


_MAKE = sa.text(
    "INSERT INTO maas_budget_use (key_id, per, begins, used, generation, held, held_before)"
    " VALUES (:key_id, :per, :begins, 0, 0, 0, 0) ON CONFLICT DO NOTHING"
).bindparams(sa.bindparam("begins", type_=Moment))
_CHANGE = sa.update(use).where(
    use.c.key_id == sa.bindparam("at_key"),
    use.c.per == sa.bindparam("at_per"),
    use.c.begins == sa.bindparam("at_begins"),
)
