"""The gateway's callback about any credential: keys as ever, platform tokens where they are welcome."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from maas_api.gateway.callback import Callback
from maas_api.identity.headers import Identity
from maas_api.identity.tokens import REVIEW_TTL_SECONDS, ReviewedTokens
from maas_api.wire import Pending, Reply, Request

PATH = "/internal/v1/api-keys/validate"
ALICE = Identity("alice", ("team", 'odd","one'))
OF_KEYS = Reply(200, (), b"the keys' answer")


class Cluster:
    """A cluster that knows one token, for one audience."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[str, ...]]] = []
        self.now = 0.0
        self.reachable = True

    def review(self, token: str, audiences: Sequence[str]) -> Identity | None:
        self.asked.append((token, tuple(audiences)))
        if not self.reachable:
            raise ConnectionError
        return ALICE if token == "alices.token" and "gateway" in audiences else None


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def callback(cluster: Cluster) -> Iterator[Callback]:
    tokens = ReviewedTokens(cluster.review, ("settings",), clock=lambda: cluster.now)
    tokens.start()
    yield Callback(lambda _request: OF_KEYS, tokens)
    tokens.stop()


def ask(callback: Callback, key: Any, *audiences: str) -> Reply:
    query = "&".join(f"audience={audience}" for audience in audiences)
    target = f"{PATH}?{query}" if query else PATH
    answer = callback.route(Request("POST", PATH, target, (), json.dumps({"key": key}).encode()))
    return answer.promise.result(5) if isinstance(answer, Pending) else answer


def test_a_token_is_its_users_where_the_question_names_an_audience(callback: Callback) -> None:
    assert json.loads(ask(callback, "alices.token", "gateway").body) == {
        "valid": True,
        "username": "alice",
        "groups": list(ALICE.groups),
    }
    refused = {"valid": False, "tenant": "", "reason": "unknown platform token"}
    assert json.loads(ask(callback, "nobodys.token", "gateway").body) == refused


def test_a_token_for_another_audience_is_nobodys_though_it_was_reviewed_for_this_one(callback: Callback) -> None:
    """What a provider's route costs must not be open to whoever may read the platform's API."""
    assert json.loads(ask(callback, "alices.token", "gateway", "api").body)["valid"] is True
    assert json.loads(ask(callback, "alices.token", "api").body)["valid"] is False


@pytest.mark.parametrize(
    ("key", "audiences"), [("alices.token", ()), ("sk-oai-a_b", ("gateway",)), ("", ("gateway",)), (7, ("gateway",))]
)
def test_anything_else_is_the_question_about_keys(
    callback: Callback, cluster: Cluster, key: Any, audiences: tuple[str, ...]
) -> None:
    """Without an audience it is the Go service's question, and its answer too."""
    assert ask(callback, key, *audiences) is OF_KEYS
    assert cluster.asked == []


def test_what_could_not_be_reviewed_says_nothing_that_a_cache_could_keep(callback: Callback, cluster: Cluster) -> None:
    cluster.reachable = False
    answer = ask(callback, "alices.token", "gateway")
    assert (answer.status, answer.body) == (503, b"")
    cluster.reachable = True
    assert ask(callback, "alices.token", "gateway").status == 200


def test_a_thousand_requests_are_one_question_to_the_cluster(callback: Callback, cluster: Cluster) -> None:
    for _ in range(1000):
        assert json.loads(ask(callback, "alices.token", "gateway").body)["valid"] is True
    assert len(cluster.asked) == 1
    cluster.now = REVIEW_TTL_SECONDS
    ask(callback, "alices.token", "gateway")
    assert len(cluster.asked) == 2
