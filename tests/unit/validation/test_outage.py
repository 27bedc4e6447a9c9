"""Validation while the store is away."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pytest

from maas_api.keys import format as key_format
from maas_api.validation.reader import StoreDownError
from maas_api.validation.trust import Channel
from maas_api.validation.validation import UNAVAILABLE, Unavailable
from maas_api.validation.verdict import Verdict
from maas_api.wire import Pending, Reply
from tests.support.validating import World, request
from tests.support.wait import until


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
