"""Work off the event loop: in turns, and no more of it than there is time for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from maas_api.gateway.lane import WAITING, WAITING_EACH, Busy, Lane


@pytest.fixture
def lane() -> Iterator[Lane]:
    made = Lane(share=0.99)
    yield made
    made.stop()


def test_each_turn_goes_to_the_next_owner(lane: Lane) -> None:
    order: list[str] = []

    def work(name: str) -> None:
        order.append(name)

    mine = [lane.submit("greedy", lambda number=number: work(f"greedy {number}")) for number in range(3)]  # type: ignore[misc]
    theirs = lane.submit("modest", lambda: work("modest"))
    lane.start()
    for future in (*mine, theirs):
        future.result(5)
    assert order == ["greedy 0", "modest", "greedy 1", "greedy 2"]


def test_an_owner_with_too_much_waiting_is_refused_and_nobody_else(lane: Lane) -> None:
    for _ in range(WAITING_EACH):
        lane.submit("greedy", int)
    with pytest.raises(Busy):
        lane.submit("greedy", int)
    lane.submit("modest", int)


def test_what_waits_in_all_is_bounded(lane: Lane) -> None:
    for number in range(WAITING):
        lane.submit(str(number), int)
    with pytest.raises(Busy):
        lane.submit("one more", int)


def test_it_rests_as_its_share_of_the_time_says() -> None:
    now = 0.0
    waited: list[float] = []
    lane = Lane(share=0.2, clock=lambda: now)

    class Stopping(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waited.append(timeout or 0)
            return False

    lane._stopping = Stopping()

    def work() -> str:
        nonlocal now
        now += 0.5
        return "done"

    future = lane.submit("a", work)
    lane.start()
    assert future.result(5) == "done"
    lane.stop()
    assert waited[:1] == [pytest.approx(2.0)]


def test_what_fails_tells_whoever_asked_and_the_next_one_is_done(lane: Lane) -> None:
    def fails() -> None:
        raise ValueError("no")

    failing: Future[None] = lane.submit("a", fails)
    next_: Future[int] = lane.submit("a", lambda: 7)
    lane.start()
    assert isinstance(failing.exception(5), ValueError)
    assert next_.result(5) == 7
