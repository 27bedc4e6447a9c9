"""Validation against a store in memory whose answers, delays and failures the test decides."""

from __future__ import annotations

from concurrent.futures import Future

from hypothesis import given, settings
from hypothesis import strategies as st

from maas_api.keys import format as key_format
from maas_api.validation import verdict
from tests.support.validating import World


def test_the_store_is_asked_once_and_then_memory_answers(world: World) -> None:
    key = world.key()
    assert world.check(key).valid
    assert world.is_known(key)
    assert len(world.store.asked) == 1


def test_what_cannot_be_a_key_is_refused_without_a_lookup(world: World) -> None:
    assert world.validation.check("junk") is verdict.BAD_FORMAT
    key = world.key()
    assert world.validation.check(key[:-1] + ("A" if key[-1] != "A" else "B")) is verdict.BAD_FORMAT
    assert world.store.asked == []


def test_callers_of_one_key_share_one_lookup_and_different_keys_share_a_statement(world: World) -> None:
    first, keys = world.key("first"), [world.key(f"id-{number}") for number in range(20)]
    world.store.gate.clear()
    waiting = [world.validation.check(first)]
    world.store.read.acquire()
    waiting += [world.validation.check(key) for key in [first, *keys, *keys]]
    world.store.gate.set()
    assert all(isinstance(one, Future) and one.result(10).valid for one in waiting)
    assert [len(asked) for asked in world.store.asked] == [1, 20]


def test_an_expiry_is_checked_on_every_hit(world: World) -> None:
    key = world.key("short", expires_at=world.wall + 10)
    assert world.check(key).valid
    world.wall += 11
    assert world.validation.check(key) is verdict.REVOKED_OR_EXPIRED
    assert world.notes.expiries == ["short"]


def test_uses_are_noted_for_accepted_keys_only(world: World) -> None:
    key = world.key("used")
    world.check(key)
    world.check(key)
    world.check(key_format.make().plaintext)
    assert world.notes.uses == ["used", "used"]


def test_a_key_without_a_subscription_counts_as_used(world: World) -> None:
    new = key_format.make()
    world.store.rows[new.hash] = verdict.no_subscription("bare")
    assert not world.check(new.plaintext).valid
    assert world.notes.uses == ["bare"]


def test_a_refusal_is_remembered_for_a_short_while_only(world: World) -> None:
    key = key_format.make().plaintext
    assert world.check(key).reason == "key not found"
    assert world.is_known(key)
    world.now += 5.1
    assert not world.is_known(key)


class TestInvalidation:
    """A change of a key against answers that are remembered, on their way, or not asked for yet."""

    def test_a_forgotten_key_is_looked_up_again(self, world: World) -> None:
        key = world.key("gone")
        assert world.check(key).valid
        world.store.rows.clear()
        world.cache.forget(["gone"])
        assert world.check(key).reason == "key not found"

    def test_an_answer_that_a_change_overtook_is_given_but_not_remembered(self, world: World) -> None:
        key = world.key("raced")
        world.store.gate.clear()
        early = world.validation.check(key)
        world.store.read.acquire()
        world.store.rows.clear()
        world.cache.forget(["raced"])
        world.store.gate.set()
        assert isinstance(early, Future)
        assert early.result(10).valid
        assert world.check(key).reason == "key not found"

    def test_who_asks_after_a_change_does_not_join_a_lookup_from_before(self, world: World) -> None:
        key = world.key("raced")
        world.store.gate.clear()
        early = world.validation.check(key)
        world.store.read.acquire()
        world.store.rows.clear()
        world.cache.forget(["raced"])
        late = world.validation.check(key)
        world.store.gate.set()
        assert isinstance(early, Future)
        assert isinstance(late, Future)
        assert early.result(10).valid
        assert late.result(10).reason == "key not found"

    def test_changes_are_taken_in_before_memory_answers(self, world: World) -> None:
        key = world.key("polled")
        assert world.check(key).valid
        world.store.rows.clear()
        world.feed.on_poll = lambda: world.cache.forget(["polled"])
        assert not world.check(key).valid

    @settings(max_examples=60)
    @given(st.lists(st.tuples(st.sampled_from("vrwo"), st.integers(0, 2)), max_size=30))
    def test_no_order_of_events_lets_a_revoked_key_in(self, steps: list[tuple[str, int]]) -> None:
        """v: validate; w: validate, its answer held back after the rows were read; o: let it go; r: revoke."""
        world = World()
        world.validation.start()
        keys = [world.key(f"id-{number}") for number in range(3)]
        hashes = [key_format.hash_key(key) or "" for key in keys]
        revoked: set[int] = set()
        try:
            for step, number in steps:
                if step == "r":
                    world.store.rows[hashes[number]] = verdict.REVOKED_OR_EXPIRED
                    world.cache.forget([f"id-{number}"])
                    revoked.add(number)
                elif step == "w":
                    world.store.gate.clear()
                    world.validation.check(keys[number])
                elif step == "o":
                    world.store.gate.set()
                else:
                    answer = world.validation.check(keys[number])
                    world.store.gate.set()
                    found = answer.result(10) if isinstance(answer, Future) else answer
                    assert found.valid == (number not in revoked)
        finally:
            world.store.gate.set()
            world.validation.stop()
