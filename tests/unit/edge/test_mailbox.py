"""Answers from other threads: handed out by the loop, and given up at once where the loop itself is too late."""

from __future__ import annotations

import asyncio
import threading

from maas_api.edge.mailbox import Mailbox
from maas_api.wire import Pending, Promise, Reply

GOOD, LATE = Reply(200, (), b"good"), Reply(503, (), b"")


async def _answered_after(mailbox: Mailbox, now: list[float], lag: float) -> Reply:
    """One answer, given while the loop is busy for ``lag`` seconds."""
    promise = Promise()
    waiting = asyncio.ensure_future(mailbox.settle(Pending(promise, 5, LATE)))
    await asyncio.sleep(0)
    thread = threading.Thread(target=promise.settle, args=(GOOD,))
    thread.start()
    thread.join()
    now[0] += lag  # the loop has not looked yet
    return await waiting


def test_a_loop_that_is_too_late_gives_the_late_answer_at_once_and_recovers() -> None:
    async def scene() -> None:
        now = [0.0]
        mailbox = Mailbox(clock=lambda: now[0])
        assert await _answered_after(mailbox, now, 0.3) == GOOD
        first, second, third = Promise(), Promise(), Promise()
        told: list[Reply] = []
        mailbox.when(Pending(first, 0.1, LATE), told.append)
        assert told == [], "while nobody waits one request finds out how late the loop is"
        mailbox.when(Pending(second, 0.1, LATE), told.append)
        assert told == [LATE]
        mailbox.when(Pending(third, 1.0, LATE), told.append)
        assert told == [LATE], "who has more time waits"
        first.settle(GOOD)
        third.settle(GOOD)
        for _ in range(2):  # the loop looks once it is asked to
            await asyncio.sleep(0)
        assert told == [LATE, GOOD, GOOD]
        for _ in range(2):
            assert await mailbox.settle(Pending(_settled(), 0.1, LATE)) == GOOD

    asyncio.run(scene())


def _settled() -> Promise:
    promise = Promise()
    promise.settle(GOOD)
    return promise


def test_an_answer_that_does_not_come_is_given_up_at_the_deadline() -> None:
    async def scene() -> None:
        assert await Mailbox().settle(Pending(Promise(), 0.01, LATE)) == LATE

    asyncio.run(scene())
