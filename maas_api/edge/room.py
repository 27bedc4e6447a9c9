"""Which connections give way when a worker has too many: those that would lose the least.

A server that refuses the next client because others hold connections open and say nothing serves the silent. So the
silent go first, as in other servers of the kind (nginx's ``worker_connections``), the longest-held before the rest.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple, Protocol, TypeVar


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


C = TypeVar("C", bound=Held)


def giving_way(connections: Iterable[C], count: int) -> list[C]:
    """At most ``count`` connections to close, in the order of what that costs.

    Takes time linear in their number: close several at once, and a flood pays for it once in a while.
    """
    held = ((standing, number, one) for number, one in enumerate(connections) if (standing := one.standing()))
    return [one for _standing, _number, one in heapq.nsmallest(count, held)]
