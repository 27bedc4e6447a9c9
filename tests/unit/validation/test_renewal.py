"""Answers in use are renewed before they are too old, so that nobody waits when they would be."""

from __future__ import annotations

from maas_api.keys.format import hash_key
from maas_api.observability import metrics
from maas_api.validation import verdict
from maas_api.validation.reader import StoreDownError
from maas_api.validation.trust import RENEWED_FROM, RENEWED_UNTIL
from tests.support.validating import World
from tests.support.wait import until

MAX_AGE = 60


def renewed(world: World, asked: int) -> None:
    until(lambda: len(world.store.asked) == asked, what=f"the store was asked {asked} times")


def remembered(world: World, key: str) -> float:
    """When the key's answer was looked up."""
    found = world.cache.get(hash_key(key) or "")
    assert found is not None
    return found.checked_at


def test_a_key_that_is_used_never_waits_again(world: World) -> None:
    key = world.key()
    assert world.check(key).valid
    for number in range(2, 12):
        world.now += MAX_AGE * RENEWED_UNTIL + 0.1
        assert world.is_known(key)
        renewed(world, number)
        until(lambda: remembered(world, key) == world.now, what="the new answer is remembered")


def test_a_young_answer_is_not_asked_for_again(world: World) -> None:
    key = world.key()
    assert world.check(key).valid
    world.now += MAX_AGE * RENEWED_FROM
    assert world.is_known(key)
    assert world.check(world.key("other")).valid
    assert len(world.store.asked) == 2


def test_keys_looked_up_together_are_renewed_one_after_another(world: World) -> None:
    keys = [world.key(f"id-{number}") for number in range(80)]
    for key in keys:
        assert world.check(key).valid
    world.now += MAX_AGE * (RENEWED_FROM + RENEWED_UNTIL) / 2
    assert all(world.is_known(key) for key in keys)
    assert world.check(world.key("behind them")).valid
    again = {key_hash for asked in world.store.asked[80:] for key_hash in asked}
    assert 10 < len(again) - 1 < 70


def test_a_renewal_under_way_is_one_and_who_has_to_wait_joins_it(world: World) -> None:
    key = world.key()
    assert world.check(key).valid
    world.store.gate.clear()
    world.store.read.acquire()
    world.now += MAX_AGE - 1
    assert world.is_known(key)
    world.store.read.acquire()
    assert world.is_known(key)
    world.now += 2
    waiting = world.validation.check(key)
    assert not isinstance(waiting, verdict.Verdict)
    world.store.gate.set()
    assert waiting.result(10).valid
    assert len(world.store.asked) == 2


def test_what_is_found_out_by_a_renewal_holds_at_once(world: World) -> None:
    """A change that nobody announces, as where the trigger on the keys' table could not be made."""
    key = world.key()
    assert world.check(key).valid
    world.store.rows.clear()
    world.now += MAX_AGE - 1
    assert world.check(key).valid
    until(lambda: world.check(key) == verdict.NOT_FOUND, what="the key is refused")


def test_a_change_announced_meanwhile_is_not_undone_by_a_renewal(world: World) -> None:
    key = world.key()
    assert world.check(key).valid
    world.store.gate.clear()
    world.store.read.acquire()
    world.now += MAX_AGE - 1
    assert world.is_known(key)
    world.store.read.acquire()  # the renewal has read the row
    world.store.rows.clear()
    world.cache.forget(["id"])
    world.store.gate.set()
    assert world.check(key) == verdict.NOT_FOUND


def test_a_renewal_that_fails_is_forgotten_and_turns_nobody_away(world: World) -> None:
    key, other = world.key(), world.key("other")
    assert world.check(key).valid
    world.store.fault = StoreDownError("test")
    errors = metrics.store_errors.labels("lookup")
    failed = errors.value
    world.now += MAX_AGE - 1
    assert world.is_known(key)
    until(lambda: errors.value > failed, what="the renewal has failed")
    assert not world.lookup.down
    world.store.fault = None
    assert world.check(other).valid
    assert world.is_known(key)
    until(lambda: remembered(world, key) == world.now, what="it is asked for again")


def test_while_the_store_is_away_a_known_key_is_answered_for(world: World) -> None:
    key = world.key()
    assert world.check(key).valid
    world.store.fault = StoreDownError("test")
    for age in (MAX_AGE - 1, MAX_AGE + 1):
        world.now = 1_000 + age
        assert world.check(key).valid
    until(lambda: world.lookup.down, what="who had to ask has found out")
