"""The gateway's callback about any credential: keys as ever, platform tokens where they are welcome."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import pytest

from maas_api.access.opened import parse
from maas_api.gateway.callback import Callback
from maas_api.gateway.judgement import Judgement
from maas_api.identity.headers import Identity
from maas_api.identity.tokens import REVIEW_TTL_SECONDS, ReviewedTokens
from maas_api.models.calls import Calls
from maas_api.validation.validation import Unavailable
from maas_api.validation.verdict import NOT_FOUND, Verdict, accepted
from maas_api.wire import Pending, Reply, Request
from tests.support.callables import Held, calls, external, local, snapshot

PATH = "/internal/v1/api-keys/validate"
ALICE = Identity("alice", ("team", 'odd","one'))
KEY = "sk-oai-" + "abc_def"
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
    yield Callback(lambda _request: OF_KEYS, tokens, Keys(NOT_FOUND), Judgement(calls()))
    tokens.stop()


class Keys:
    """The store with one key in it."""

    deadline = 5.0

    def __init__(self, answer: Verdict | Future[Verdict]) -> None:
        self.answer = answer

    def check(self, raw_key: str) -> Verdict | Future[Verdict]:
        assert raw_key == KEY
        return self.answer


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


@pytest.mark.parametrize("call", [{}, {"model": "gpt-4o", "provider": "openai"}], ids=["alone", "about a call"])
def test_a_token_that_the_gateway_verified_stands_beside_its_claims(callback: Callback, call: dict[str, str]) -> None:
    question = {"key": {"sub": "mallory"}, "token": "alices.token", **call}
    request = Request("POST", PATH, f"{PATH}?audience=gateway", (), json.dumps(question).encode())
    answer = callback.route(request)
    assert isinstance(answer, Pending)
    said = json.loads(answer.promise.result(5).body)
    assert (said["valid"], said["username"]) == (True, "alice")


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


MODELS = (
    external("gpt-4o-mini"),
    external("gpt-4o"),
    external("claude", "anthropic"),
    external("secret", groups=frozenset({"research"})),
    local("opt", "opt"),
)


def key(*, models: tuple[str, ...] | None = None, groups: tuple[str, ...] = ("staff",)) -> Verdict:
    return accepted(
        key_id="id",
        key_name="name",
        username="alice",
        groups=groups,
        subscription="gold",
        tenant="t",
        models=models,
        expires_at=None,
    )


def answered(verdict: Verdict | Future[Verdict], judgement: Judgement | None = None, **question: Any) -> Any:
    """What the callback says of a key and a call."""
    judged = judgement or Judgement(calls(*MODELS), parse(["openai:GET /v1/files*"]))
    callback = Callback(lambda _request: OF_KEYS, ReviewedTokens(Cluster().review, ()), Keys(verdict), judged)
    reply = callback.route(Request("POST", PATH, PATH, (), json.dumps({"key": KEY, **question}).encode()))
    reply = reply.promise.result(5) if isinstance(reply, Pending) else reply
    return json.loads(reply.body) if reply.status == 200 else (reply.status, reply.body)


LIMITED = key(models=("gpt-4o-mini",))
NOTHING: dict[str, Any] = {"model": None, "body": None}
CASES: list[tuple[str, Verdict, dict[str, Any], str]] = [
    ("a model of the provider", key(), {"provider": "openai", "model": "gpt-4o"}, ""),
    ("of another provider", key(), {"provider": "openai", "model": "claude"}, "model_not_found"),
    ("of nobody", key(), {"provider": "openai", "model": "gpt-5"}, "model_not_found"),
    ("for another group", key(), {"provider": "openai", "model": "secret"}, "model_not_found"),
    ("for the caller's group", key(groups=("research",)), {"provider": "openai", "model": "secret"}, ""),
    ("on the key's list", LIMITED, {"provider": "openai", "model": "gpt-4o-mini"}, ""),
    ("not on the key's list", LIMITED, {"provider": "openai", "model": "gpt-4o"}, "model_not_allowed"),
    ("not named", LIMITED, {"provider": "openai", "model": ""}, "invalid_body"),
    ("not named, any key", key(), {"provider": "openai", **NOTHING}, "invalid_body"),
    ("in doubt", key(), {"provider": "openai", "model": "", "body": "doubt=twice"}, "invalid_body"),
    ("named and in doubt", key(), {"provider": "openai", "model": "gpt-4o", "body": "doubt=twice"}, "invalid_body"),
    (
        "a closed one below",
        LIMITED,
        {"provider": "openai", "model": "gpt-4o-mini", "body": "nested=gpt-4o"},
        "model_not_allowed",
    ),
    ("an open one below", key(), {"provider": "openai", "model": "gpt-4o-mini", "body": "nested=gpt-4o"}, ""),
    (
        "a tool that runs one",
        LIMITED,
        {"provider": "openai", "model": "gpt-4o-mini", "body": "tools=image_generation"},
        "model_not_allowed",
    ),
    ("a path that runs it", key(), {"model": "gpt-4o", "path": "/external/openai/v1/responses"}, ""),
    (
        "a path that does not",
        key(),
        {"model": "gpt-4o", "path": "/external/openai/v1/fine_tuning/jobs"},
        "endpoint_not_open",
    ),
    (
        "another method",
        key(),
        {"model": "gpt-4o", "method": "DELETE", "path": "/external/openai/v1/responses"},
        "endpoint_not_open",
    ),
    ("what the operator opened", key(), {**NOTHING, "method": "GET", "path": "/external/openai/v1/files"}, ""),
    (
        "the same for a limited key",
        LIMITED,
        {**NOTHING, "method": "GET", "path": "/external/openai/v1/files"},
        "endpoint_not_open",
    ),
    ("the root", key(), {"model": "gpt-4o", "path": "/v1/chat/completions"}, ""),
    ("an endpoint it lacks", key(), {"model": "gpt-4o", "path": "/v1/messages"}, "endpoint_not_supported"),
    ("a path in the cluster", key(), {**NOTHING, "path": "/llm/opt/v1/chat/completions"}, ""),
]


@pytest.mark.parametrize(("verdict", "question", "code"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_question_about_a_call_is_answered_by_the_authorizers_rule(
    verdict: Verdict, question: dict[str, Any], code: str
) -> None:
    answer = answered(verdict, **question)
    assert answer["valid"] is True
    assert answer["username"] == "alice"
    assert answer["allowed"] is (code == "")
    assert code == "" or json.loads(answer["refusal"])["error"]["code"] == code
    assert code == "" or json.loads(answer["refusal"])["error"]["message"] == answer["reason"]


def test_where_a_call_at_the_root_goes_is_told() -> None:
    assert answered(key(), model="claude", path="/v1/messages")["route"] == "external/anthropic"
    assert answered(key(), model="opt", path="/v1/chat/completions")["route"] == "llm/opt"
    assert "route" not in answered(key(), model="gpt-4o", path="/external/openai/v1/responses")


def test_who_is_not_known_may_call_nothing() -> None:
    question = {"provider": "openai", "model": "gpt-4o"}
    assert answered(NOT_FOUND, **question) == {
        "valid": False,
        "tenant": "",
        "reason": "key not found",
        "allowed": False,
    }


def test_an_answer_that_the_store_gives_later_is_decided_then() -> None:
    later: Future[Verdict] = Future()
    later.set_result(LIMITED)
    assert answered(later, provider="openai", model="gpt-4o")["allowed"] is False
    assert answered(later, provider="openai", model="gpt-4o-mini")["allowed"] is True


def test_what_may_pass_is_not_said_in_a_way_that_a_policy_remembers() -> None:
    silent: Future[Verdict] = Future()
    silent.set_exception(Unavailable())
    assert answered(silent, provider="openai", model="gpt-4o") == (503, b"")
    unread = Judgement(Calls(Held(snapshot(), complete=False), calls()._access))
    assert answered(key(), unread, provider="openai", model="gpt-4o") == (503, b"")


def test_a_platform_users_call_is_decided_like_a_keys(cluster: Cluster) -> None:
    tokens = ReviewedTokens(cluster.review, ("settings",))
    tokens.start()
    callback = Callback(lambda _request: OF_KEYS, tokens, Keys(NOT_FOUND), Judgement(calls(*MODELS)))

    def asked(token: str, model: str) -> Any:
        question = json.dumps({"key": token, "provider": "openai", "model": model}).encode()
        answer = callback.route(Request("POST", PATH, f"{PATH}?audience=gateway", (), question))
        return json.loads((answer.promise.result(5) if isinstance(answer, Pending) else answer).body)

    try:
        assert asked("alices.token", "gpt-4o")["allowed"] is True
        assert asked("alices.token", "secret")["allowed"] is False
        assert asked("nobodys.token", "gpt-4o")["allowed"] is False
    finally:
        tokens.stop()


@pytest.mark.parametrize("body", [b'{"key":', b"[]", b'{"model":"gpt-4o"}', b'{"key":5,"model":"gpt-4o"}'])
def test_a_question_without_a_key_is_the_one_about_keys(callback: Callback, body: bytes) -> None:
    assert callback.route(Request("POST", PATH, PATH, (), body)) is OF_KEYS


@pytest.mark.parametrize("name", ["Model", "mod\\u0065l"])
def test_another_spelling_gets_no_leave(callback: Callback, name: str) -> None:
    """So a policy that denies on the absence of ``allowed`` denies."""
    body = f'{{"key":"{KEY}","provider":"openai","{name}":"gpt-4o"}}'.encode()
    assert callback.route(Request("POST", PATH, PATH, (), body)) is OF_KEYS


@pytest.mark.parametrize("field", ["provider", "model", "body", "method", "path"])
def test_a_field_of_another_type_is_refused_and_not_taken_for_its_absence(callback: Callback, field: str) -> None:
    asked = {"key": KEY, "model": "gpt-4o", **{field: 7}}
    reply = callback.route(Request("POST", PATH, PATH, (), json.dumps(asked).encode()))
    assert isinstance(reply, Reply)
    assert (reply.status, json.loads(reply.body)) == (400, {"error": f"{field} must be a string, got number"})
