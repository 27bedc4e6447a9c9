"""Answers from other threads: handed out by the loop in time, or given up, however late the loop itself is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from maas_api.edge.mailbox import Mailbox
from maas_api.wire import Pending, Promise, Reply
from tests.support.clockwork import Clockwork

GOOD, LATE = Reply(200, (), b"good"), Reply(503, (), b"")


@pytest.fixture
def loop() -> Iterator[Clockwork]:
    made = Clockwork()
    yield made
    made.end()


class Late:
    """A mailbox whose loop has been away for ``seconds``."""

    def __init__(self, loop: Clockwork) -> None:
        self.seconds = 0.0
        self._loop = loop
        self._mailbox = Mailbox(clock=lambda: loop.time() + self.seconds)

    def asks(self, timeout: float, promise: Promise | None = None) -> list[Reply]:
        """What a request is told, now and later."""
        told: list[Reply] = []
        self._loop.run(self._mailbox.when, Pending(promise or Promise(), timeout, LATE), told.append)
        return told


def test_what_a_late_loop_reads_is_answered_while_its_caller_waits(loop: Clockwork) -> None:
    late = Late(loop)
    late.asks(5)
    late.seconds = 0.3
    begun: list[Promise] = []
    assert late.asks(0.1, Promise(begun.append)) == [LATE], "its caller is gone: nothing is waited for"
    assert begun == [], "nor asked of the store"
    waits = late.asks(0.2, Promise(begun.append))
    assert len(begun) == 1
    loop.run(seconds=0.09)
    assert waits == []
    loop.run(seconds=0.03)
    assert waits == [LATE], "of the caller's 0.4 s 0.3 s were over"


def test_a_loop_that_is_back_gives_the_whole_time_again(loop: Clockwork) -> None:
    late = Late(loop)
    late.asks(5)
    late.seconds = 0.3
    loop.run(seconds=0.02)
    waits = late.asks(0.1)
    loop.run(seconds=0.09)
    assert waits == []


def test_nobody_is_told_an_answer_after_the_deadline(loop: Clockwork) -> None:
    late, promise, quick = Late(loop), Promise(), Promise()
    told, in_time = late.asks(0.1, promise), late.asks(0.3, quick)
    late.seconds = 0.2
    promise.settle(GOOD)
    quick.settle(GOOD)
    loop.run()
    assert (told, in_time) == ([LATE], [GOOD])


def test_an_idle_loop_is_not_woken_to_measure_it(loop: Clockwork) -> None:
    promise = Promise()
    Late(loop).asks(0.5, promise)
    promise.settle(GOOD)
    loop.run(seconds=5)
    assert loop.waits_for_nothing


def test_an_answer_that_does_not_come_is_given_up_at_the_deadline() -> None:
    async def scene() -> None:
        assert await Mailbox().settle(Pending(Promise(), 0.01, LATE)) == LATE

    asyncio.run(scene())
