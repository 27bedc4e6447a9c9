"""An issuer's keys over time: who waits for what, and how often the issuer is asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from maas_api.identity.oidc.fetch import FetchError
from maas_api.identity.oidc.jwks import Key, KeySet, key_set
from maas_api.identity.oidc.keeper import KEEP_SECONDS, UNKNOWN_SECONDS, WAITING, Keeper, UnknownError
from tests.support.issuer import jwk, rsa_key
from tests.support.wait import until


def keys(*kids: str) -> KeySet:
    return key_set(json.dumps({"keys": [jwk(rsa_key(), kid) for kid in kids]}).encode())


class Party:
    """A keeper and its issuer, which answers when it is let go."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.answer: KeySet | Exception = keys("k1")
        self.fetched = 0
        self.go = threading.Event()
        self.go.set()
        self.keeper = Keeper("https://issuer", self._fetch, clock=lambda: self.now)

    def _fetch(self) -> KeySet:
        self.fetched += 1
        assert self.go.wait(10)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def started(self) -> Party:
        self.keeper.start()
        found = self.keeper.find("k1")
        if isinstance(found, Future):
            found.result(10)
        return self

    def settled(self, kid: str | None) -> Key | None:
        found = self.keeper.find(kid)
        if isinstance(found, Future):
            found.result(10)
            found = self.keeper.find(kid)
        assert not isinstance(found, Future)
        return found


@pytest.fixture
def party() -> Iterator[Party]:
    found = Party()
    yield found
    found.go.set()
    found.keeper.stop()


def test_a_known_key_is_there_at_once_whatever_the_issuer_does(party: Party) -> None:
    party.started()
    party.go.clear()
    party.now += UNKNOWN_SECONDS
    assert isinstance(party.keeper.find("k2"), Future), "somebody waits for the issuer"
    assert isinstance(party.keeper.find("k1"), Key), "and nobody else does"


def test_before_the_first_answer_callers_wait_for_it(party: Party) -> None:
    party.go.clear()
    party.keeper.start()
    waiting = party.keeper.find("k1")
    assert isinstance(waiting, Future)
    party.go.set()
    waiting.result(10)
    assert isinstance(party.keeper.find("k1"), Key)


def test_a_flood_of_invented_kids_is_one_fetch_and_a_rotated_key_is_found_by_it(party: Party) -> None:
    party.started()
    party.now += UNKNOWN_SECONDS
    party.go.clear()
    party.answer = keys("k1", "k2")
    waiting = [party.keeper.find(f"invented-{number}") for number in range(WAITING - 1)] + [party.keeper.find("k2")]
    with pytest.raises(UnknownError, match="too many wait"):
        party.keeper.find("one more")
    party.go.set()
    for one in waiting:
        assert isinstance(one, Future)
        one.result(10)
    assert isinstance(party.keeper.find("k2"), Key)
    assert {party.keeper.find(f"invented-{number}") for number in range(1_000)} == {None}
    assert party.fetched == 2


def test_how_often_an_unknown_kid_asks_is_bounded(party: Party) -> None:
    party.started()
    for second in range(100):
        party.now += 1
        party.settled(f"invented-{second}")
    assert party.fetched <= 1 + 100 / UNKNOWN_SECONDS


def test_old_keys_stay_while_the_issuer_is_down_and_new_ones_are_neither_yes_nor_no(party: Party) -> None:
    party.started()
    party.answer = FetchError("JWKS: gone")
    party.now += UNKNOWN_SECONDS
    with pytest.raises(UnknownError):
        party.settled("k2")
    assert isinstance(party.keeper.find("k1"), Key)
    assert party.keeper.report()["fault"] == "JWKS: gone"
    party.answer = keys("k2")
    party.now += UNKNOWN_SECONDS
    assert isinstance(party.settled("k2"), Key)
    assert party.keeper.find("k1") is None, "withdrawn"
    assert "fault" not in party.keeper.report()


def test_after_a_day_without_the_issuer_its_keys_count_no_more(party: Party) -> None:
    party.started()
    party.answer = FetchError("JWKS: gone")
    party.now += KEEP_SECONDS + 1
    with pytest.raises(UnknownError):
        party.settled("k1")


def test_a_fault_that_nobody_foresaw_ends_neither_the_thread_nor_the_keys(party: Party) -> None:
    party.started()
    party.answer = MemoryError("of a library")
    party.now += UNKNOWN_SECONDS
    with pytest.raises(UnknownError):
        party.settled("k2")
    party.answer = keys("k2")
    party.now += UNKNOWN_SECONDS
    assert isinstance(party.settled("k2"), Key)


def test_keys_are_renewed_without_anybody_asking_so_that_a_withdrawn_one_ends() -> None:
    answers = [keys("k1"), keys("k2")]
    keeper = Keeper("https://issuer", lambda: answers.pop(0) if len(answers) > 1 else answers[0], renew=0.02)
    keeper.start()
    try:
        until(lambda: isinstance(keeper.find("k2"), Key) and keeper.find("k1") is None, what="the renewal")
    finally:
        keeper.stop()


def test_one_that_does_not_run_says_neither_yes_nor_no() -> None:
    with pytest.raises(UnknownError):
        Keeper("https://issuer", lambda: keys("k1")).find("k1")


def test_stopping_lets_nobody_wait(party: Party) -> None:
    party.go.clear()
    party.keeper.start()
    waiting = party.keeper.find("k1")
    assert isinstance(waiting, Future)
    party.go.set()
    party.keeper.stop()
    waiting.result(5)
