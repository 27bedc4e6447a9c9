"""Namespace access: hidden until known, never waited for, never asked in a storm."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from maas_api.access.namespaces import Policy, ReviewedNamespaces
from maas_api.identity.headers import Identity
from tests.support.wait import until

ALICE = Identity("alice", ("b", "a"))
POLICY = Policy(fresh=10, grace=100, failures=3, rest=20, waiting=5)


class Cluster:
    """Answers, or does not, and counts."""

    def __init__(self) -> None:
        self.allowed = {"ml"}
        self.down = False
        self.asked: list[tuple[Identity, str]] = []
        self.gate = threading.Event()
        self.gate.set()

    def ask(self, who: Identity, namespace: str) -> bool:
        self.asked.append((who, namespace))
        assert self.gate.wait(10)
        if self.down:
            raise ConnectionError("down")
        return namespace in self.allowed


class Setup:
    """A checker, its cluster and its clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.cluster = Cluster()
        self.access = ReviewedNamespaces(self.cluster.ask, policy=POLICY, threads=2, clock=lambda: self.now)

    def see(self, *namespaces: str, who: Identity = ALICE) -> set[str]:
        return set(self.access.visible(who, frozenset(namespaces)))

    def idle(self) -> None:
        until(lambda: not self.access._asking, what="no question is under way")


@pytest.fixture
def setup() -> Iterator[Setup]:
    made = Setup()
    made.access.start()
    yield made
    made.cluster.gate.set()
    made.access.stop()
    made.access.stop()


def test_unknown_is_hidden_and_asked_in_the_background(setup: Setup) -> None:
    setup.cluster.gate.clear()
    assert setup.see("ml", "secret") == set()
    assert setup.see("ml", "secret") == set()
    setup.cluster.gate.set()
    setup.idle()
    assert setup.see("ml", "secret") == {"ml"}
    assert len(setup.cluster.asked) == 2, "each namespace once, whoever asks meanwhile"


def test_the_order_of_groups_makes_no_new_caller(setup: Setup) -> None:
    setup.see("ml")
    setup.idle()
    assert setup.see("ml", who=Identity("alice", ("a", "b"))) == {"ml"}
    assert setup.see("ml", who=Identity("alice", ("a",))) == set()


def test_an_answer_is_renewed_while_it_is_still_used(setup: Setup) -> None:
    setup.see("ml")
    setup.idle()
    setup.now += 11
    setup.cluster.allowed.clear()
    assert setup.see("ml") == {"ml"}
    setup.idle()
    assert setup.see("ml") == set(), "the withdrawal is known"


def test_while_the_cluster_is_down_known_answers_stay_for_the_grace_only(setup: Setup) -> None:
    setup.see("ml")
    setup.idle()
    setup.cluster.down = True
    for _ in range(3):
        setup.now += 30
        assert setup.see("ml") == {"ml"}
        setup.idle()
    setup.now += 30
    assert setup.see("ml") == set()


def test_the_breaker_opens_rests_and_tries_with_one_question(setup: Setup) -> None:
    setup.cluster.down = True
    for _ in range(3):
        setup.see("ml")
        setup.idle()
    asked = len(setup.cluster.asked)
    setup.see("ml", "other", "third")
    setup.idle()
    assert len(setup.cluster.asked) == asked == 3, "open: nothing is asked"
    setup.now += 21
    setup.see("ml", "other", "third")
    setup.idle()
    assert len(setup.cluster.asked) == 4, "half open: one question"
    setup.now += 21
    setup.cluster.down = False
    setup.see("ml", "other", "third")
    setup.idle()
    setup.see("ml", "other", "third")
    setup.idle()
    assert setup.see("ml") == {"ml"}
    assert len(setup.cluster.asked) == 7


def test_questions_beyond_the_limit_are_not_taken(setup: Setup) -> None:
    setup.cluster.gate.clear()
    setup.see(*[f"n{number}" for number in range(50)])
    until(lambda: len(setup.cluster.asked) == 2, what="both threads are at it")
    setup.cluster.gate.set()
    setup.idle()
    assert len(setup.cluster.asked) == POLICY.waiting


def test_before_it_runs_and_after_it_stopped_nothing_is_asked() -> None:
    made = Setup()
    assert made.see("ml") == set()
    made.access.start()
    made.access.stop()
    assert made.see("ml") == set()
    assert made.cluster.asked == []
