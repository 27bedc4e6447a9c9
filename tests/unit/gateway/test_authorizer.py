"""The authorizer's answers, one by one, without a gateway around them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maas_api.gateway.authorizer import BODY_DEADLINE, PREFIX, TOKEN_DEADLINE, Authorizer
from maas_api.gateway.lane import Busy
from maas_api.identity.headers import Identity
from maas_api.validation.verdict import Verdict, accepted, refused
from maas_api.wire import Pending, Reply, Request

KEY = "sk-oai-" + "abc_def"
LOCAL = "/llm/opt/v1/chat/completions"


def known(
    *,
    username: str = "alice",
    groups: tuple[str, ...] = ("staff",),
    subscription: str = "gold",
    models: tuple[str, ...] | None = None,
) -> Verdict:
    """A valid key's verdict."""
    return accepted(
        key_id="id",
        key_name="name",
        username=username,
        groups=groups,
        subscription=subscription,
        tenant="t",
        models=models,
        expires_at=None,
    )


class Keys:
    deadline = 0.25

    def __init__(self, answer: Verdict | Future[Any]) -> None:
        self.answer = answer

    def check(self, raw_key: str) -> Verdict | Future[Any]:
        assert raw_key == KEY
        return self.answer


class Tokens:
    def __init__(self, answer: Identity | Future[Any] | None = None) -> None:
        self.answer = answer
        self.asked: list[str] = []

    def lookup(self, token: str) -> Identity | Future[Any] | None:
        self.asked.append(token)
        return self.answer


class Queued:
    """A lane whose work waits until the test does it."""

    def __init__(self, room: int = 1) -> None:
        self.room = room
        self.owners: list[str] = []
        self.work: list[tuple[Future[Reply], Callable[[], Reply]]] = []

    def submit(self, owner: str, work: Callable[[], Reply]) -> Future[Reply]:
        if not self.room:
            raise Busy
        self.owners.append(owner)
        self.work.append((Future(), work))
        return self.work[-1][0]

    def do(self) -> None:
        for future, work in self.work:
            future.set_result(work())


def ask(
    answer: Verdict | Future[Any] | None = None,
    *,
    tokens: Tokens | None = None,
    path: str = LOCAL,
    method: str = "POST",
    headers: tuple[tuple[str, str], ...] = (("authorization", f"Bearer {KEY}"),),
    body: bytes = b"",
    lane: Queued | None = None,
) -> Reply | Pending:
    authorizer = Authorizer(
        Keys(known() if answer is None else answer),
        tokens or Tokens(),
        lambda asked: {"facebook/opt", "opt"} if asked.startswith("/llm/opt/") else (),
        lane or Queued(),
    )
    lines = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return authorizer.route(Request(method, PREFIX + path, PREFIX + path, lines, body))


def now(answer: Reply | Pending) -> Reply:
    assert isinstance(answer, Reply)
    return answer


def lines(reply: Reply) -> dict[str, str]:
    found = [(name.decode(), value.decode()) for name, value in reply.headers]
    assert len(dict(found)) == len(found), "a header is set twice"
    return dict(found)


def removed(reply: Reply) -> set[str]:
    return set(lines(reply)["x-envoy-auth-headers-to-remove"].split(","))


IDENTITY = {"x-maas-username", "x-maas-group", "x-maas-subscription", "x-maas-models"}


class TestAllowed:
    def test_every_identity_header_is_set_or_removed(self) -> None:
        for verdict in (known(), known(models=("a",)), known(models=()), known(subscription="")):
            reply = now(ask(verdict, path="/v1/models", method="GET"))
            assert reply.status == 200
            assert (set(lines(reply)) & IDENTITY) ^ (removed(reply) & IDENTITY) == IDENTITY

    def test_a_model_never_gets_the_callers_credential(self) -> None:
        for path in (LOCAL, "/external/openai/v1/chat/completions", "/anything/else"):
            reply = now(ask(path=path))
            assert {"authorization", "x-api-key", "api-key"} <= removed(reply)
            assert KEY not in str(reply)

    def test_the_service_itself_gets_it_in_the_one_header_it_reads(self) -> None:
        reply = now(ask(path="/v1/models", headers=(("x-api-key", KEY),)))
        assert lines(reply)["authorization"] == f"Bearer {KEY}"
        assert {"x-api-key", "api-key"} <= removed(reply)
        assert "authorization" not in removed(reply)

    def test_an_allow_list_travels_as_json(self) -> None:
        reply = now(ask(known(models=("a,b", "ü*")), path="/v1/models"))
        assert json.loads(lines(reply)["x-maas-models"]) == ["a,b", "ü*"]

    def test_an_empty_allow_list_is_not_no_allow_list(self) -> None:
        assert lines(now(ask(known(models=()), path="/v1/models")))["x-maas-models"] == "[]"
        assert now(ask(known(models=()))).status == 403

    @given(st.text(max_size=20), st.lists(st.text(max_size=10), max_size=3), st.text(max_size=20))
    def test_no_name_can_break_out_of_its_header(self, username: str, groups: list[str], subscription: str) -> None:
        reply = now(ask(known(username=username, groups=tuple(groups), subscription=subscription)))
        for _, value in reply.headers:
            assert all(0x20 <= byte < 0x7F for byte in value)
        if reply.status == 200:
            assert lines(reply).get("x-maas-username", "") == username
            assert json.loads(lines(reply)["x-maas-group"]) == groups


class TestPlatformTokens:
    def test_a_user_passes_with_the_subscription_wished_for(self) -> None:
        tokens = Tokens(Identity("bob", ("dev",)))
        headers = (("authorization", "bearer  a-token"), ("x-maas-subscription", "old, new"))
        reply = now(ask(tokens=tokens, headers=headers, path="/v1/models"))
        assert tokens.asked == ["a-token"]
        assert (lines(reply)["x-maas-username"], lines(reply)["x-maas-subscription"]) == ("bob", "new")

    def test_an_api_key_counts_before_a_token_that_was_sent_beside_it(self) -> None:
        tokens = Tokens(Identity("bob", ("dev",)))
        for first in ("Bearer a-token", "Basic x", ""):
            reply = now(ask(tokens=tokens, headers=(("authorization", first), ("x-api-key", KEY)), path="/v1/models"))
            assert lines(reply)["x-maas-username"] == "alice"
            assert lines(reply)["authorization"] == f"Bearer {KEY}"
        assert tokens.asked == []

    def test_a_wish_is_nothing_to_a_key(self) -> None:
        headers = (("authorization", f"Bearer {KEY}"), ("x-maas-subscription", "platinum"))
        assert lines(now(ask(headers=headers)))["x-maas-subscription"] == "gold"

    def test_a_wish_that_could_break_out_of_its_header_is_refused(self) -> None:
        headers = (("authorization", "Bearer a-token"), ("x-maas-subscription", "a\xe9"))
        assert now(ask(tokens=Tokens(Identity("bob", ("dev",))), headers=headers)).status == 403

    def test_a_token_nobody_issued_is_refused(self) -> None:
        assert now(ask(headers=(("authorization", "Bearer a-token"),))).status == 401

    def test_a_review_under_way_is_waited_for_a_bounded_time(self) -> None:
        pending: Future[Identity | None] = Future()
        answer = ask(tokens=Tokens(pending), headers=(("authorization", "Bearer a-token"),))
        assert isinstance(answer, Pending)
        assert (answer.timeout, answer.late.status) == (TOKEN_DEADLINE, 503)
        pending.set_result(Identity("bob", ("dev",)))
        assert answer.promise.result(1).status == 200


class TestRefused:
    @pytest.mark.parametrize(
        "headers",
        [
            (),
            (("authorization", ""),),
            (("authorization", "Bearer"),),
            (("authorization", "Bearer "),),
            (("authorization", KEY),),
            (("authorization", f"Basic {KEY}"),),
            (("x-api-key", "  "),),
            (("cookie", KEY),),
        ],
    )
    def test_without_a_usable_credential(self, headers: tuple[tuple[str, str], ...]) -> None:
        reply = now(ask(headers=headers))
        assert reply.status == 401
        assert lines(reply)["www-authenticate"] == 'Bearer realm="maas-api"'
        error = json.loads(reply.body)["error"]
        assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")

    def test_a_key_that_is_not_valid_with_the_reason_and_without_the_key(self) -> None:
        reply = now(ask(refused("key revoked or expired")))
        assert reply.status == 401
        assert "key revoked or expired" in reply.body.decode()
        assert KEY not in str(reply)

    def test_when_the_store_cannot_say(self, caplog: pytest.LogCaptureFixture) -> None:
        future: Future[Verdict] = Future()
        answer = ask(future)
        assert isinstance(answer, Pending)
        assert (answer.timeout, answer.late.status) == (Keys.deadline, 503)
        future.set_exception(ConnectionError("the store's address and password"))
        assert answer.promise.result(1).status == 503
        assert "password" not in caplog.text

    def test_a_model_outside_the_allow_list(self) -> None:
        assert now(ask(known(models=("facebook/*",)), body=b'{"model":"facebook/opt"}')).status == 200
        assert now(ask(known(models=("gpt-4o",)))).status == 403
        assert now(ask(known(models=("*",)), path="/llm/unknown/v1/chat/completions")).status == 403

    def test_of_a_server_with_several_models_each_is_judged(self) -> None:
        """The path says which server; a LoRA adapter and the model below it are told apart by the body."""
        adapter = known(models=("opt",))
        assert now(ask(adapter, body=b'{"model":"opt"}')).status == 200
        for body in (b'{"model":"facebook/opt"}', b"{}", b"", b'{"model":"opt","model":"facebook/opt"}', b"\xff"):
            assert now(ask(adapter, body=body)).status == 403
        partial = (("authorization", f"Bearer {KEY}"), ("x-envoy-auth-partial-body", "true"))
        assert now(ask(adapter, headers=partial, body=b'{"model":"opt"}')).status == 413
        assert now(ask(adapter, path="/llm/opt/v1/models", method="GET")).status == 200
        assert now(ask(adapter, method="PUT")).status == 403

    def test_who_may_use_all_of_a_servers_models_is_not_bound_to_a_readable_body(self) -> None:
        for models in (("*",), ("opt", "facebook/*"), None):
            assert now(ask(known(models=models), body=b"\xff")).status == 200

    def test_a_provider_request_that_names_no_listed_model(self) -> None:
        listed, path = known(models=("gpt-4o",)), "/external/openai/v1/chat/completions"
        assert now(ask(listed, path=path, body=b'{"model":"gpt-4o"}')).status == 200
        assert now(ask(listed, path=path, body=b'{"model":"gpt-4"}')).status == 403
        assert now(ask(listed, path=path, body=b"{}")).status == 403
        partial = (("authorization", f"Bearer {KEY}"), ("x-envoy-auth-partial-body", "true"))
        assert now(ask(listed, path=path, headers=partial, body=b'{"model":"gpt-4o"}')).status == 413
        assert now(ask(known(), path=path, headers=partial, body=b"x")).status == 200


class TestLongBodies:
    LONG = json.dumps({"model": "gpt-x", "messages": "a" * 5000}).encode()
    OPENAI = "/external/openai/v1/chat/completions"

    @pytest.mark.parametrize(("models", "status"), [(("gpt-x",), 200), (("other",), 403)])
    @pytest.mark.parametrize("remembered", [True, False])
    def test_a_long_body_of_a_limited_key_is_judged_off_the_loop(
        self, models: tuple[str, ...], status: int, remembered: bool
    ) -> None:
        lane, looked_up = Queued(), Future[Any]()
        answer = ask(known(models=models) if remembered else looked_up, path=self.OPENAI, body=self.LONG, lane=lane)
        assert isinstance(answer, Pending)
        if not remembered:
            looked_up.set_result(known(models=models))
        assert answer.timeout == BODY_DEADLINE
        assert lane.owners == ["id"]
        lane.do()
        assert answer.promise.result(0).status == status

    def test_nobody_else_s_body_is_looked_at(self) -> None:
        lane = Queued(room=0)
        assert now(ask(known(), path=self.OPENAI, body=self.LONG, lane=lane)).status == 200

    def test_a_key_with_too_many_of_them_at_once_is_told_to_try_again(self) -> None:
        reply = now(ask(known(models=("gpt-x",)), path=self.OPENAI, body=self.LONG, lane=Queued(room=0)))
        assert (reply.status, lines(reply)["retry-after"]) == (503, "1")

    def test_a_body_made_to_take_long_is_refused_by_its_looks(self) -> None:
        body = b"{" + b'"":0,' * 170_000 + b'"model":"gpt-x"}'
        lane = Queued()
        answer = ask(known(models=("gpt-x",)), path=self.OPENAI, body=body, lane=lane)
        assert isinstance(answer, Pending)
        begun = time.process_time()
        lane.do()
        assert time.process_time() - begun < 0.1, "parsing it took half a second"
        assert answer.promise.result(0).status == 413
