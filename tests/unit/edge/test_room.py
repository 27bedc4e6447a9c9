"""What a worker's connections share: floods and pipelines cost those who ask one thing at a time next to nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from maas_api.edge.connections.room import Room, Turns, Unspoken, room_of
from tests.support.clockwork import Clockwork


@pytest.fixture
def loop() -> Iterator[Clockwork]:
    made = Clockwork()
    yield made
    made.end()


def test_of_a_thousand_pipelines_a_few_are_begun_at_each_turn_of_the_loop(loop: Clockwork) -> None:
    turns, begun, most, left = Turns(), 0, 0, 600

    def begin() -> None:
        nonlocal begun
        begun += 1

    def another(before: int) -> None:
        """Somebody who asks one thing gets a turn of the loop, again and again."""
        nonlocal most, left
        most, left = max(most, begun - before), left - 1
        if left:
            loop.call_soon(another, begun)

    for _ in range(1000):
        turns.take(loop, begin)
    loop.run(another, 0)
    assert begun == 1000
    assert most <= 2 * Turns.AT_ONCE


def test_pipelines_are_begun_in_the_order_of_their_coming_and_a_new_one_behind_them(loop: Clockwork) -> None:
    turns, told = Turns(), list[int]()
    for number in range(5):
        turns.take(loop, lambda number=number: told.append(number))  # type: ignore[misc]
    loop.run()
    turns.take(loop, lambda: told.append(5))
    loop.run()
    assert told == [0, 1, 2, 3, 4, 5]


def test_who_has_been_silent_the_longest_is_first_and_who_speaks_is_not_among_them() -> None:
    silent: Unspoken[str] = Unspoken()
    for name in "abcd":
        silent.waits(name)
    silent.spoke("b")
    silent.spoke("unknown")
    silent.waits("a")  # its head has begun: it waits from now on
    assert silent.first(2) == ["c", "d"]
    assert silent.first(10) == ["c", "d", "a"]


def test_the_connections_of_one_loop_share_it_and_those_of_another_do_not(loop: Clockwork) -> None:
    other = Clockwork()
    assert isinstance(room_of(loop), Room)
    assert room_of(loop) is room_of(loop)
    assert room_of(other) is not room_of(loop)
    other.end()
