"""Platform tokens: from a file, and by TokenReview."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest

from maas_api.config import ConfigError
from maas_api.identity.headers import Identity
from maas_api.identity.tokens import REVIEW_TTL_SECONDS, ReviewedTokens, StaticTokens

ALICE = Identity("alice", ("users",))


def _file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "tokens.yaml"
    path.write_text(text)
    return path


def test_a_token_of_the_file_stands_for_its_user(tmp_path: Path) -> None:
    token = secrets.token_urlsafe(24)
    path = _file(tmp_path, f"- {{token: {token}, username: alice, groups: [users]}}\n")
    tokens = StaticTokens.from_file(path)
    assert tokens.lookup(token) == ALICE
    assert tokens.lookup(token + "x") is None
    assert token not in repr(vars(tokens))


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("a: b", "must be a list of users"),
        ("- [\n", "line 2: cannot be read as YAML"),
        ("- alice", "entry 1: must have token, username and groups"),
        ("- {token: short, username: a, groups: [b]}", "entry 1: token must be text of at least 16"),
        ("- {token: sk-oai-0123456789abcdef, username: a, groups: [b]}", "must not begin with sk-oai-"),
        ("- {token: 0123456789abcdefg, username: '', groups: [b]}", "username must be non-blank"),
        ("- {token: 0123456789abcdefg, username: a, groups: []}", "groups must be a list of at least one"),
        ("- {token: 0123456789abcdefg, username: a, groups: [b], admin: true}", "unknown field 'admin'"),
        (
            "- {token: 0123456789abcdefg, username: a, groups: [b]}\n"
            "- {token: 0123456789abcdefg, username: c, groups: [b]}",
            "entry 2: token is used by an earlier entry",
        ),
    ],
)
def test_a_wrong_file_is_refused_naming_file_entry_and_rule(tmp_path: Path, text: str, rule: str) -> None:
    path = _file(tmp_path, text)
    with pytest.raises(ConfigError) as refusal:
        StaticTokens.from_file(path)
    assert str(path) in str(refusal.value)
    assert rule in str(refusal.value)
    assert "0123456789abcdef" not in str(refusal.value)


class Cluster:
    """Answers reviews when told to, and counts them."""

    def __init__(self) -> None:
        self.asked = 0
        self.go = threading.Event()
        self.users: dict[str, Identity] = {}

    def review(self, token: str, audiences: Sequence[str]) -> Identity | None:
        self.asked += 1
        assert audiences == ("maas",)
        assert self.go.wait(5)
        return self.users.get(token)


def _answer(got: Identity | Future[Identity | None] | None) -> Identity | None:
    return got.result(5) if isinstance(got, Future) else got


def test_one_review_serves_everyone_who_waits_and_is_believed_for_its_time() -> None:
    cluster, now = Cluster(), [0.0]
    token = secrets.token_urlsafe(24)
    cluster.users[token] = ALICE
    tokens = ReviewedTokens(cluster.review, ["maas"], clock=lambda: now[0])
    tokens.start()
    try:
        waiting = [tokens.lookup(token) for _ in range(10)]
        cluster.go.set()
        assert {_answer(one) for one in waiting} == {ALICE}
        assert tokens.lookup(token) == ALICE
        assert cluster.asked == 1
        now[0] = REVIEW_TTL_SECONDS + 1
        del cluster.users[token]
        assert _answer(tokens.lookup(token)) is None
        assert cluster.asked == 2
    finally:
        tokens.stop()


def test_a_cluster_that_cannot_be_asked_is_neither_yes_nor_no() -> None:
    def broken(token: str, audiences: Sequence[str]) -> Identity | None:
        raise OSError("no route")

    tokens = ReviewedTokens(broken, [])
    tokens.start()
    try:
        got = tokens.lookup(secrets.token_urlsafe(24))
        assert isinstance(got, Future)
        with pytest.raises(OSError, match="no route"):
            got.result(5)
    finally:
        tokens.stop()


def test_a_flood_of_invented_tokens_neither_piles_up_nor_keeps_the_cluster_busy() -> None:
    """Anyone can send them. A question nobody waits for any more is dropped, so a real token's turn comes."""
    now = [0.0]
    cluster = Cluster()
    cluster.users[token := secrets.token_urlsafe(24)] = ALICE
    tokens = ReviewedTokens(cluster.review, ["maas"], clock=lambda: now[0])
    tokens.start()
    try:
        flood = [tokens.lookup(f"invented-{number:08}") for number in range(2_000)]
        futures = [got for got in flood if isinstance(got, Future)]
        turned_away = [got for got in futures if got.done() and got.exception() is not None]
        assert len(turned_away) >= 1_700
        now[0] = 2.0
        cluster.go.set()
        for got in futures:
            got.exception(5)
        assert cluster.asked <= 4, "only what had been put to the cluster already"
        assert _answer(tokens.lookup(token)) == ALICE
    finally:
        cluster.go.set()
        tokens.stop()
