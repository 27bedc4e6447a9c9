"""Answers from other threads, waited for in the event loop.

A future wrapped for asyncio under ``wait_for`` takes a task, two futures and a wake-up of the loop for each answer. A
lookup answers many requests at once, so here each takes one callback, and the answers that arrive before the loop
gets to look share one wake-up.

A deadline counts from when a request was read, and what comes later is not handed out. A caller's patience counts from
when the request arrived: where the loop was late to read it, less is left, and where nothing is left it gets the late
answer at once, and nothing is looked up for it.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from maas_api.observability import metrics
from maas_api.wire import Pending, Reply

PATIENCE = 2
"""How many times the deadline a caller waits: a gateway gives up on the callback after 200 ms."""

_BEAT_SECONDS: Final = 0.01
_BEATS_ON_SECONDS: Final = 1.0  # after somebody asked last: an idle worker sleeps

Take = Callable[[Reply], None]
"""Takes an answer. Called once, in the event loop."""


class Mailbox:
    """Where other threads put answers for one event loop."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lateness = Lateness(clock=clock)
        self._arrived: deque[tuple[_Ticket, Reply]] = deque()
        self._woken = False

    def when(self, pending: Pending, take: Take) -> None:
        """Have ``take`` called with the answer, or with the late one when the deadline has passed."""
        loop = asyncio.get_running_loop()
        left = min(pending.timeout, PATIENCE * pending.timeout - self._lateness.seconds(loop))
        if left <= 0:
            metrics.deadline_exceeded.inc()
            take(pending.late)
            return
        ticket = _Ticket(take, pending.late, self._clock() + left)
        ticket.timer = loop.call_later(left, ticket.give_up)
        pending.promise.listen(lambda answer: self._deliver(loop, ticket, answer))

    async def settle(self, pending: Pending) -> Reply:
        """Wait for the answer, not beyond its deadline."""
        waiting: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

        def take(answer: Reply) -> None:
            if not waiting.done():  # else whoever waited was cancelled
                waiting.set_result(answer)

        self.when(pending, take)
        return await waiting

    def _deliver(self, loop: asyncio.AbstractEventLoop, ticket: _Ticket, answer: Reply) -> None:
        """Called by whichever thread has the answer. The flag is read after the answer is in: none is left behind."""
        self._arrived.append((ticket, answer))
        if not self._woken:
            self._woken = True
            loop.call_soon_threadsafe(self._hand_out)

    def _hand_out(self) -> None:
        self._woken = False
        while self._arrived:
            ticket, answer = self._arrived.popleft()
            if ticket.waits and self._clock() > ticket.until:  # the loop sees answers before it sees that time is up
                ticket.give_up()
            else:
                ticket.settle(answer)


class _Ticket:
    """One request that waits."""

    __slots__ = ("_late", "_take", "timer", "until")

    def __init__(self, take: Take, late: Reply, until: float) -> None:
        self._take: Take | None = take
        self._late = late
        self.until = until
        self.timer: asyncio.TimerHandle | None = None

    @property
    def waits(self) -> bool:
        """Whether it has no answer yet."""
        return self._take is not None

    def give_up(self) -> None:
        """The deadline has passed."""
        metrics.deadline_exceeded.inc()
        self.settle(self._late)

    def settle(self, answer: Reply) -> None:
        """Hand the answer over, the first time."""
        take, self._take = self._take, None
        if take is None:
            return
        if self.timer is not None:
            self.timer.cancel()
        take(answer)


class Lateness:
    """How long what a loop takes up now has waited for it.

    A loop that has to wait for a processor, or for its own callbacks, reads a request long after it arrived, and
    nothing in the request says so. A beat tells: it comes late by as much as whatever else the loop takes up in that
    turn.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due: float | None = None  # when the next beat is; None: it does not beat
        self._late = 0.0
        self._asked = 0.0

    def seconds(self, loop: asyncio.AbstractEventLoop) -> float:
        """At most so long, as far as is known; the first who asks after a pause learns nothing. Call it in the loop."""
        now = self._asked = self._clock()
        if self._due is None:
            self._late = 0.0
            self._next(loop, now)
            return 0.0
        return max(self._late, now - self._due)

    def _next(self, loop: asyncio.AbstractEventLoop, now: float) -> None:
        self._due = now + _BEAT_SECONDS
        loop.call_later(_BEAT_SECONDS, self._beat, loop)

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        now = self._clock()
        self._late = 0.0 if self._due is None else max(0.0, now - self._due)
        loop.call_soon(self._forget)  # behind what was read in this turn
        if now - self._asked > _BEATS_ON_SECONDS:
            self._due = None
        else:
            self._next(loop, now)

    def _forget(self) -> None:
        self._late = 0.0
