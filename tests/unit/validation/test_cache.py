"""The bounded memory behind validation."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from maas_api.validation import verdict
from maas_api.validation.cache import Remembered, VerdictCache
from tests.support.validating import World, good


class TestCache:
    """The bounded memory behind it."""

    @given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3), st.booleans()), max_size=60))
    def test_it_never_outgrows_its_size_and_forgets_every_secret_of_a_key(
        self, puts: list[tuple[int, int, bool]]
    ) -> None:
        cache = VerdictCache(5)
        for number, key, valid in puts:
            found = good(f"id-{key}") if valid else verdict.NOT_FOUND
            cache.put(f"{number}-{key}", Remembered(found, 0.0), cache.epoch)
        assert len(cache) <= 5
        cache.forget(["id-0"])
        entries = [cache.get(f"{number}-0") for number in range(10)]
        assert not any(entry is not None and entry.verdict.valid for entry in entries)

    def test_a_size_of_zero_remembers_nothing(self) -> None:
        world = World(size=0)
        world.validation.start()
        key = world.key()
        assert world.check(key).valid
        assert world.check(key).valid
        assert len(world.store.asked) == 2
        world.validation.stop()

    def test_what_was_used_the_longest_ago_makes_room(self) -> None:
        cache = VerdictCache(3)
        for key in "abc":
            cache.put(key, Remembered(good(key), 0.0), cache.epoch)
        cache.get("a")
        cache.put("b", Remembered(good("b"), 1.0), cache.epoch)  # looked up anew
        cache.put("d", Remembered(good("d"), 0.0), cache.epoch)
        assert [key for key in "abcd" if cache.get(key)] == ["a", "b", "d"]

    def test_invented_keys_do_not_push_out_real_ones(self) -> None:
        cache = VerdictCache(50)
        cache.put("real", Remembered(good("id"), 0.0), cache.epoch)
        for number in range(1_000):
            cache.put(f"junk-{number}", Remembered(verdict.NOT_FOUND, 0.0), cache.epoch)
        assert cache.get("real") is not None
        assert len(cache) <= 6

    def test_forgetting_everything_forgets_what_is_on_its_way_too(self) -> None:
        cache = VerdictCache(5)
        epoch = cache.epoch
        cache.put("a", Remembered(good("id"), 0.0), epoch)
        cache.forget_all()
        assert not cache.put("b", Remembered(good("id"), 0.0), epoch)
        assert len(cache) == 0
