"""Validation against a store in memory whose answers, delays and failures the test decides."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maas_api.keys import format as key_format
from maas_api.validation import verdict
from maas_api.validation.cache import Remembered, VerdictCache
from maas_api.validation.lookup import Lookup
from maas_api.validation.reader import StoreDownError
from maas_api.validation.trust import Channel, Trust
from maas_api.validation.validation import UNAVAILABLE, Unavailable, Validation
from maas_api.validation.verdict import Verdict
from maas_api.wire import Pending, Reply, Request
from tests.support.wait import until


def good(key_id: str, expires_at: float | None = None) -> Verdict:
    return verdict.accepted(
        key_id=key_id,
        key_name="n",
        username="ann",
        groups=("g",),
        subscription="s",
        tenant="t",
        models=None,
        expires_at=expires_at,
    )


class Store:
    """Rows by hash. ``gate`` closed holds answers back after the rows were read, as a slow network would."""

    def __init__(self) -> None:
        self.rows: dict[str, Verdict] = {}
        self.fault: Exception | None = None
        self.asked: list[list[str]] = []
        self.on_fetch: Callable[[], None] = lambda: None
        self.gate = threading.Event()
        self.gate.set()
        self.read = threading.Semaphore(0)

    def fetch(self, hashes: Sequence[str]) -> Mapping[str, Verdict]:
        if self.fault is not None:
            raise self.fault
        found = {key_hash: self.rows.get(key_hash, verdict.NOT_FOUND) for key_hash in hashes}
        self.asked.append(list(hashes))
        self.on_fetch()
        self.read.release()
        assert self.gate.wait(10)
        return found

    def probe(self) -> None:
        if self.fault is not None:
            raise self.fault

    def close(self) -> None:
        self.closed = True


class Feed:
    """A channel that is heard for as long as the test says, and that counts how often it was polled."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.on_poll: Callable[[], None] = lambda: None

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def poll(self) -> None:
        self.on_poll()


class Notes:
    def __init__(self) -> None:
        self.uses: list[str] = []
        self.expiries: list[str] = []

    def used(self, key_id: str) -> None:
        self.uses.append(key_id)

    def expired(self, key_id: str) -> None:
        self.expiries.append(key_id)


class World:
    """Everything around one Validation, on clocks that the test moves."""

    def __init__(self, size: int = 100, deadline: float = 5) -> None:
        self.now = 1_000.0
        self.wall = 1_700_000_000.0
        self.store = Store()
        self.feed = Feed(Channel(since=0.0, heard=float("inf")))
        self.notes = Notes()
        self.cache = VerdictCache(size)
        self.lookup = Lookup(self.store, self.cache, deadline=deadline, clock=lambda: self.now)
        self.validation = Validation(
            self.cache,
            self.lookup,
            self.feed,
            self.notes,
            Trust(unheard=5, max_age=60, grace=30),
            deadline=deadline,
            clock=lambda: self.now,
            wall=lambda: self.wall,
        )

    def key(self, key_id: str = "id", expires_at: float | None = None) -> str:
        new = key_format.make()
        self.store.rows[new.hash] = good(key_id, expires_at)
        return new.plaintext

    def check(self, key: str) -> Verdict:
        answer = self.validation.check(key)
        return answer.result(10) if isinstance(answer, Future) else answer

    def is_known(self, key: str) -> bool:
        """Whether the answer needs no lookup."""
        return isinstance(self.validation.check(key), Verdict)


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    made.validation.start()
    yield made
    made.store.gate.set()
    made.validation.stop()


def request(body: bytes) -> Request:
    return Request("POST", "/internal/v1/api-keys/validate", "", [], body)


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


class TestOutage:
    """The store or the channel is down."""

    def down(self, world: World) -> None:
        world.store.fault = StoreDownError("test")
        world.validation.check(key_format.make().plaintext)
        until(lambda: world.lookup.down, what="the lookup noticed")

    def test_known_keys_validate_for_the_grace_and_then_nobody_knows(self, world: World) -> None:
        key = world.key()
        assert world.check(key).valid
        world.feed.channel = Channel(0.0, world.now)
        self.down(world)
        world.now += 29
        assert world.check(key).valid
        world.now += 2
        with pytest.raises(Unavailable):
            world.check(key)

    def test_unknown_keys_get_an_empty_503_and_no_verdict(self, world: World) -> None:
        key = world.key()
        self.down(world)
        answer = world.validation.route(request(json.dumps({"key": key}).encode()))
        assert isinstance(answer, Pending)
        assert answer.promise.result(10) == answer.late == UNAVAILABLE
        assert (
            Reply(503, ((b"content-type", b"application/json; charset=utf-8"), (b"retry-after", b"1")), b"")
            == UNAVAILABLE
        )

    def test_a_key_that_is_due_for_a_lookup_is_still_let_in_when_that_fails(self, world: World) -> None:
        key = world.key()
        assert world.check(key).valid
        world.feed.channel = Channel(0.0, world.now)
        world.now += 10
        assert not world.is_known(key)
        world.store.fault = StoreDownError("test")
        until(lambda: world.lookup.down or not world.check(key), what="the lookup noticed")
        assert world.check(key).valid

    def test_a_key_past_its_expiry_has_no_grace(self, world: World) -> None:
        key = world.key(expires_at=world.wall + 10)
        assert world.check(key).valid
        self.down(world)
        world.wall += 11
        assert not world.check(key).valid

    def test_without_the_channel_an_answer_is_trusted_for_five_seconds(self, world: World) -> None:
        key = world.key()
        world.feed.channel = Channel(0.0, world.now)
        assert world.check(key).valid
        world.now += 5
        assert world.is_known(key)
        world.now += 0.1
        assert not world.is_known(key)

    def test_it_recovers_by_itself(self, world: World) -> None:
        key = world.key()
        self.down(world)
        world.store.fault = None
        until(lambda: not world.lookup.down, what="the lookup recovered")
        assert world.check(key).valid

    def test_a_connection_closed_by_the_server_costs_no_answer(self, world: World) -> None:
        key, fetch = world.key(), world.store.fetch
        faults: list[Exception] = [StoreDownError("closed")]

        def once(hashes: Sequence[str]) -> Mapping[str, Verdict]:
            if faults:
                raise faults.pop()
            return fetch(hashes)

        world.store.fetch = once  # type: ignore[method-assign]  # fails once
        assert world.check(key).valid
        assert not world.lookup.down

    def test_a_row_nobody_foresaw_costs_that_answer_only(self, world: World) -> None:
        key = world.key()
        world.store.fault = TypeError("unforeseen")
        with pytest.raises(Unavailable):
            world.check(key)
        world.store.fault = None
        assert world.check(key).valid

    def test_a_stopped_service_answers_that_it_cannot(self, world: World) -> None:
        key = world.key()
        world.validation.stop()
        with pytest.raises(Unavailable):
            world.check(key)


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
