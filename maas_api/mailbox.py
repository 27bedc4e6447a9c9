"""Answers from other threads, waited for in the event loop.

``asyncio.wrap_future`` under ``wait_for`` and ``shield`` takes a task, two futures and a wake-up of the loop for each
answer. A lookup answers many requests at once, so here each takes one future, and the answers that arrive before the
loop gets to look share one wake-up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import Future

from maas_api.observability import metrics
from maas_api.wire import Pending, Reply


class Mailbox:
    """Where other threads put answers for one event loop."""

    def __init__(self) -> None:
        self._arrived: deque[tuple[asyncio.Future[Reply], Future[Reply]]] = deque()
        self._woken = False

    async def settle(self, pending: Pending) -> Reply:
        """Wait for the answer, not beyond its deadline. Raises what the future raises.

        Others may wait for the same future, so it is never cancelled.
        """
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[Reply] = loop.create_future()
        timer = loop.call_later(pending.timeout, _give_up, waiting, pending.late)
        pending.future.add_done_callback(lambda done: self._deliver(loop, waiting, done))
        try:
            return await waiting
        finally:
            timer.cancel()

    def _deliver(self, loop: asyncio.AbstractEventLoop, waiting: asyncio.Future[Reply], done: Future[Reply]) -> None:
        """Called by whichever thread has the answer. The flag is read after the answer is in: none is left behind."""
        self._arrived.append((waiting, done))
        if not self._woken:
            self._woken = True
            loop.call_soon_threadsafe(self._hand_out)

    def _hand_out(self) -> None:
        self._woken = False
        while self._arrived:
            waiting, done = self._arrived.popleft()
            if waiting.done():
                continue
            fault = done.exception()
            if fault is None:
                waiting.set_result(done.result())
            else:
                waiting.set_exception(fault)


def _give_up(waiting: asyncio.Future[Reply], late: Reply) -> None:
    if not waiting.done():
        metrics.deadline_exceeded.inc()
        waiting.set_result(late)
