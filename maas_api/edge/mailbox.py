"""Answers from other threads, waited for in the event loop.

A future wrapped for asyncio under ``wait_for`` takes a task, two futures and a wake-up of the loop for each answer. A
lookup answers many requests at once, so here each takes one callback, and the answers that arrive before the loop
gets to look share one wake-up.

The loop's own lateness is measured by them: from a wake-up to the look it asked for. Where that alone takes most of the
time that a request has, one more would only be late: it gets the late answer at once.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from maas_api.observability import metrics
from maas_api.wire import Pending, Reply

Take = Callable[[Reply], None]
"""Takes an answer. Called once, in the event loop."""


class Mailbox:
    """Where other threads put answers for one event loop."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._arrived: deque[tuple[_Ticket, Reply]] = deque()
        self._woken = False
        self._woken_at = 0.0
        self._lag = 0.0
        self._open = 0  # requests that wait

    def when(self, pending: Pending, take: Take) -> None:
        """Have ``take`` called with the answer, or with the late one when the deadline has passed."""
        # While nobody waits the lateness cannot be measured, so then the next one finds out.
        if self._open and self._lag > pending.timeout / 2:
            metrics.deadline_exceeded.inc()
            take(pending.late)
            return
        loop = asyncio.get_running_loop()
        self._open += 1
        ticket = _Ticket(self._closing(take), pending.late)
        ticket.timer = loop.call_later(pending.timeout, ticket.give_up)
        pending.promise.listen(lambda answer: self._deliver(loop, ticket, answer))

    def _closing(self, take: Take) -> Take:
        def closing(answer: Reply) -> None:
            self._open -= 1
            take(answer)

        return closing

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
            self._woken_at = self._clock()
            loop.call_soon_threadsafe(self._hand_out)

    def _hand_out(self) -> None:
        self._lag = self._clock() - self._woken_at
        self._woken = False
        while self._arrived:
            ticket, answer = self._arrived.popleft()
            ticket.settle(answer)


class _Ticket:
    """One request that waits."""

    __slots__ = ("_late", "_take", "timer")

    def __init__(self, take: Take, late: Reply) -> None:
        self._take: Take | None = take
        self._late = late
        self.timer: asyncio.TimerHandle | None = None

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
