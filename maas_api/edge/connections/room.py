"""Which connections give way when a worker has too many: those that would lose the least.

A server that refuses the next client because others hold connections open and say nothing serves the silent. So the
silent go first, as in other servers of the kind (nginx's ``worker_connections``), the longest-held before the rest.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Iterable
from enum import IntEnum
from itertools import islice
from typing import Generic, NamedTuple, Protocol, TypeVar
from weakref import WeakKeyDictionary

from maas_api.edge.connections.limits import GIVING_WAY, SEARCHED
from maas_api.observability import metrics


class Loss(IntEnum):
    """What closing a connection would cost its client, least first."""

    UNSPOKEN = 0  # it has not sent a whole request's head
    IDLE = 1  # it is kept alive between requests
    UNFINISHED = 2  # it is late with a body, or with reading its answer


class Standing(NamedTuple):
    """How a connection stands: what closing it would cost, and since when (by the loop's clock) it has waited so."""

    loss: Loss
    since: float


class Held(Protocol):
    """A connection that may give way."""

    def standing(self) -> Standing | None:
        """None: a request of it is being answered, so it may not."""

    def give_way(self) -> None:
        """Close it."""


C = TypeVar("C", bound=Held)


def giving_way(connections: Iterable[C], count: int) -> list[C]:
    """At most ``count`` connections to close, in the order of what that costs.

    Takes time linear in their number: close several at once, and a flood pays for it once in a while.
    """
    held = ((standing, number, one) for number, one in enumerate(connections) if (standing := one.standing()))
    return [one for _standing, _number, one in heapq.nsmallest(count, held)]


class Unspoken(Generic[C]):
    """The connections of one worker that have not sent a whole request's head, the longest-held first.

    A flood is of these, and meets a worker that is full: it must not take a search through all connections for each.
    """

    def __init__(self) -> None:
        self._waiting: dict[C, None] = {}

    def waits(self, one: C) -> None:
        """It waits from now on."""
        self._waiting.pop(one, None)
        self._waiting[one] = None

    def spoke(self, one: C) -> None:
        """It waits no more: its head is whole, or it is gone."""
        self._waiting.pop(one, None)

    def first(self, count: int) -> list[C]:
        """At most so many."""
        return list(islice(self._waiting, count))


class Turns:
    """What waited behind an answer of its own connection, begun a few at each turn of the loop: however many pipelines
    there are, whoever asks one thing at a time waits for a few of them only."""

    AT_ONCE = 2

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()

    def take(self, loop: asyncio.AbstractEventLoop, begin: Callable[[], None]) -> None:
        """Have ``begin`` called when it is its turn."""
        self._waiting.append(begin)
        if len(self._waiting) == 1:
            loop.call_soon(self._some, loop)

    def _some(self, loop: asyncio.AbstractEventLoop) -> None:
        for _ in range(min(self.AT_ONCE, len(self._waiting))):
            self._waiting.popleft()()
        if self._waiting:
            loop.call_soon(self._some, loop)


class Room(Generic[C]):
    """What the connections of one event loop share."""

    def __init__(self) -> None:
        self.unspoken: Unspoken[C] = Unspoken()
        self.turns = Turns()


def make_room(held: set[C], room: Room[C], limit: int) -> None:
    """Close connections that would lose the least. Where they must be searched for, a few at once, and among so many
    as can be looked at while others wait: among all only where none of these may be closed."""
    over = len(held) - limit
    count = over + min(limit, SEARCHED) // GIVING_WAY
    for one in room.unspoken.first(over) or giving_way(list(islice(held, SEARCHED)), count) or giving_way(held, count):
        metrics.refusals.labels("given_way").inc()
        held.discard(one)
        room.unspoken.spoke(one)
        one.give_way()


_ROOMS: WeakKeyDictionary[asyncio.AbstractEventLoop, Room[Held]] = WeakKeyDictionary()


def room_of(loop: asyncio.AbstractEventLoop) -> Room[Held]:
    """The one of this loop."""
    room = _ROOMS.get(loop)
    if room is None:
        room = _ROOMS[loop] = Room()
    return room
