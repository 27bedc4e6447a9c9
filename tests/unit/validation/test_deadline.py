"""Validation when the store takes long."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from maas_api.validation.validation import Unavailable
from maas_api.validation.verdict import Verdict
from tests.support.validating import World


class TestDeadline:
    """A machine that is too busy answers as many as it can, and does not ask the store for nobody."""

    @pytest.fixture
    def world(self) -> Iterator[World]:
        made = World(deadline=0.1)
        made.validation.start()
        yield made
        made.store.gate.set()
        made.validation.stop()

    def slow_down(self, world: World) -> None:
        """Have the store, or this machine, take four deadlines for a statement."""

        def pass_by() -> None:
            world.now += 0.4

        world.store.on_fetch = pass_by
        world.check(world.key("slow"))

    def test_slow_statements_turn_nobody_away(self, world: World) -> None:
        self.slow_down(world)
        world.store.gate.clear()
        first = world.validation.check(world.key("first"))
        assert all(world.store.read.acquire(timeout=5) for _ in range(2))
        others = [world.validation.check(world.key(f"id-{number}")) for number in range(50)]
        world.store.gate.set()
        for answer in (first, *others):
            assert isinstance(answer, Future)
            assert answer.result(10).valid
        assert [len(asked) for asked in world.store.asked] == [1, 1, 50], "they share one statement"

    def waiting(self, world: World, count: int) -> list[Future[Verdict]]:
        """Keys that gather behind a statement under way, oldest first."""
        found = [world.validation.check(world.key(f"id-{number}")) for number in range(count)]
        return [answer for answer in found if isinstance(answer, Future)]

    def test_of_more_keys_than_a_statement_takes_the_newest_go_first(self, world: World) -> None:
        world.store.gate.clear()
        world.validation.check(world.key("first"))
        world.store.read.acquire()
        waiting = self.waiting(world, 600)
        world.store.gate.set()
        assert all(answer.result(10).valid for answer in waiting)
        assert [len(asked) for asked in world.store.asked] == [1, 500, 100]
        assert world.store.rows[world.store.asked[1][-1]].key_id == "id-599"
        assert world.store.rows[world.store.asked[2][0]].key_id == "id-0"

    def test_what_found_no_room_and_has_waited_too_long_is_not_asked_for(self, world: World) -> None:
        world.store.gate.clear()
        world.validation.check(world.key("first"))
        world.store.read.acquire()
        older = self.waiting(world, 100)
        world.now += 0.2
        newer = self.waiting(world, 500)
        world.store.gate.set()
        assert all(answer.result(10).valid for answer in newer)
        for answer in older:
            with pytest.raises(Unavailable):
                answer.result(10)
        assert [len(asked) for asked in world.store.asked] == [1, 500]
