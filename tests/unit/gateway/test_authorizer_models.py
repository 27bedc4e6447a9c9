"""Which calls pass: what the authorizer says of a caller and a model, place by place."""

from __future__ import annotations

import json
from concurrent.futures import Future
from typing import Any

import pytest

from maas_api.access.opened import parse
from maas_api.gateway.authorizer import PREFIX, Authorizer
from maas_api.gateway.judgement import Judgement
from maas_api.identity.headers import Identity
from maas_api.validation.verdict import Verdict, accepted
from maas_api.wire import Pending, Reply, Request
from tests.support.callables import calls, external, local

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


MODELS = calls(
    local("facebook/opt", "opt", aliases=("opt",)),
    local("alone", "alone"),
    external("gpt-4o"),
    external("gpt-4"),
    external("claude-x", "anthropic"),
    external("secret", groups=frozenset({"board"})),
    external("fast", target="gpt-4o-mini", aliases=("quick",)),
)
OPENAI = "/external/openai/v1/chat/completions"


def ask(
    answer: Verdict | Future[Any] | None = None,
    *,
    tokens: Tokens | None = None,
    path: str = LOCAL,
    method: str = "POST",
    headers: tuple[tuple[str, str], ...] = (("authorization", f"Bearer {KEY}"),),
    model: str = "facebook/opt",
    **read: str,
) -> Reply | Pending:
    """``model`` and ``read``: what the gateway's filter read in the body (``nested``, ``tools``, ``doubt``)."""
    judgement = Judgement(MODELS, parse(("openai:GET /v1/files*",)))
    authorizer = Authorizer(Keys(known() if answer is None else answer), tokens or Tokens(), judgement)
    named = {"x-gateway-model-name": model} if method == "POST" and "doubt" not in read else {}
    if read:
        named["x-maas-body"] = ";".join(f"{key}={value}" for key, value in read.items())
    lines = [(name.encode(), value.encode("latin-1")) for name, value in (*headers, *named.items())]
    return authorizer.route(Request(method, PREFIX + path, PREFIX + path, lines, b""))


def now(answer: Reply | Pending) -> Reply:
    assert isinstance(answer, Reply)
    return answer


def lines(reply: Reply) -> dict[str, str]:
    found = [(name.decode(), value.decode()) for name, value in reply.headers]
    assert len(dict(found)) == len(found), "a header is set twice"
    return dict(found)


def removed(reply: Reply) -> set[str]:
    return set(lines(reply)["x-envoy-auth-headers-to-remove"].split(","))


def error(answer: Reply | Pending) -> tuple[int, str]:
    reply = now(answer)
    return reply.status, json.loads(reply.body)["error"]["code"]


class TestInTheCluster:
    def test_a_model_outside_the_allow_list(self) -> None:
        assert now(ask(known(models=("facebook/*",)))).status == 200
        assert error(ask(known(models=("gpt-4o",)))) == (403, "model_not_allowed")
        assert error(ask(known(models=("*",)), path="/llm/unknown/v1/chat/completions")) == (404, "model_not_found")

    def test_of_a_server_with_several_models_each_is_judged(self) -> None:
        """The path says which server; a LoRA adapter and the model below it are told apart by the body."""
        adapter = known(models=("opt",))
        assert now(ask(adapter, model="opt")).status == 200
        assert error(ask(adapter, model="facebook/opt")) == (403, "model_not_allowed")
        assert error(ask(adapter, doubt="twice")) == (400, "invalid_body")
        assert now(ask(adapter, path="/llm/opt/v1/models", method="GET")).status == 200
        assert now(ask(adapter, method="PUT")).status == 400

    def test_of_a_server_with_one_model_the_path_says_which(self) -> None:
        assert now(ask(known(models=("alone",)), path="/llm/alone/v1/chat/completions", doubt="twice")).status == 200


class TestProviders:
    """A provider's route runs registered models that are open to the caller, and nothing else."""

    def test_a_registered_model(self) -> None:
        assert now(ask(path=OPENAI, model="gpt-4o")).status == 200
        assert now(ask(known(models=("gpt-4o",)), path=OPENAI, model="gpt-4o")).status == 200
        assert error(ask(known(models=("gpt-4o",)), path=OPENAI, model="gpt-4")) == (403, "model_not_allowed")

    @pytest.mark.parametrize("model", ["gpt-5-of-the-account", "claude-x", "facebook/opt", "secret", "GPT-4o"])
    def test_no_other_whether_it_exists_or_not(self, model: str) -> None:
        assert error(ask(path=OPENAI, model=model)) == (404, "model_not_found")

    def test_a_model_for_groups_is_found_by_them_alone(self) -> None:
        assert now(ask(known(groups=("board",)), path=OPENAI, model="secret")).status == 200
        refusal = now(ask(known(models=("secret",)), path=OPENAI, model="secret"))
        unknown = now(ask(known(models=("secret",)), path=OPENAI, model="secrex"))
        assert refusal.body.replace(b"secret", b"secrex") == unknown.body, "that it exists is not told"

    def test_what_the_provider_does_not_call_it_is_answered_with_what_it_does(self) -> None:
        for name in ("fast", "quick"):
            reply = now(ask(path=OPENAI, model=name))
            assert reply.status == 404
            assert "gpt-4o-mini" in json.loads(reply.body)["error"]["message"]
        assert now(ask(path=OPENAI, model="gpt-4o-mini")).status == 200

    def test_the_refusal_names_what_is_near(self) -> None:
        message = json.loads(now(ask(path=OPENAI, model="gpt-4p")).body)["error"]["message"]
        assert "gpt-4o" in message
        assert "secret" not in message

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/external/openai/v1/batches"),
            ("POST", "/external/openai/v1/files"),
            ("DELETE", "/external/openai/v1/responses/resp_1"),
            ("GET", "/external/openai/v1/chat/completions"),
            ("POST", "/external/openai/v1/chat/completions/"),
            ("POST", "/external/openai/v1/fine_tuning/jobs"),
            ("POST", "/external/openai"),
            ("POST", "/external/"),
            ("GET", "/external/openai/v1/modelsx"),
        ],
    )
    def test_every_other_method_and_path_is_closed_and_told_what_is_open(self, method: str, path: str) -> None:
        reply = now(ask(path=path, method=method, model="gpt-4o"))
        assert error(reply) == (403, "endpoint_not_open")
        assert "v1/chat/completions" in json.loads(reply.body)["error"]["message"]

    def test_what_an_operator_opened_is_open_to_keys_without_a_limit(self) -> None:
        assert now(ask(path="/external/openai/v1/files/file-1", method="GET")).status == 200
        assert error(ask(path="/external/openai/v1/files/file-1", method="DELETE")) == (403, "endpoint_not_open")
        limited = ask(known(models=("*",)), path="/external/openai/v1/files", method="GET")
        assert error(limited) == (403, "endpoint_not_open")

    @pytest.mark.parametrize("path", ["/external/openai/v1/models", "/external/openai/v1/models/gpt-4o"])
    def test_a_model_list_is_maas_apis_own_and_gets_the_credential(self, path: str) -> None:
        assert lines(now(ask(path=path, method="GET")))["authorization"] == f"Bearer {KEY}"

    def test_a_model_in_the_path_counts_and_so_does_one_in_the_body(self) -> None:
        path = "/external/azure/openai/deployments/gpt-az/chat/completions"
        assert error(ask(path=path, doubt="no-model")) == (404, "model_not_found")

    def test_a_doubt_is_refused_with_its_sentence(self) -> None:
        for doubt, status in (("twice", 400), ("spelling", 400), ("content-type", 415), ("anything", 400)):
            assert now(ask(path=OPENAI, doubt=doubt)).status == status


class TestFurtherModels:
    def test_each_is_judged_like_the_first(self) -> None:
        assert now(ask(path=OPENAI, model="gpt-4o", nested="gpt-4")).status == 200
        assert error(ask(path=OPENAI, model="gpt-4o", nested="gpt-4,claude-opus-4-6")) == (404, "model_not_found")
        limited = known(models=("gpt-4o",))
        assert error(ask(limited, path=OPENAI, model="gpt-4o", nested="gpt-4")) == (403, "model_not_allowed")
        assert error(ask(path="/v1/chat/completions", model="gpt-4o", nested="nobody%27s")) == (404, "model_not_found")

    def test_a_tool_that_may_run_a_model_is_not_for_a_limited_key(self) -> None:
        limited = known(models=("gpt-4o",))
        for harmless in ("function", "web_search_20250305", "custom,mcp"):
            assert now(ask(limited, path=OPENAI, model="gpt-4o", tools=harmless)).status == 200
        for running in ("advisor_20260301", "image_generation", "function,new_thing"):
            assert error(ask(limited, path=OPENAI, model="gpt-4o", tools=running)) == (403, "model_not_allowed")
            assert now(ask(path=OPENAI, model="gpt-4o", tools=running)).status == 200


class TestOneUrl:
    def route(self, model: str, path: str = "/v1/chat/completions", **more: Any) -> str:
        reply = now(ask(path=path, model=model, **more))
        assert reply.status == 200, reply.body
        return lines(reply)["x-maas-route"]

    def test_the_model_decides_where_a_call_goes(self) -> None:
        assert self.route("gpt-4o") == "external/openai"
        assert self.route("claude-x", "/v1/messages") == "external/anthropic"
        assert self.route("claude-x") == "external/anthropic", "it speaks both dialects"
        assert self.route("facebook/opt") == self.route("opt") == "llm/opt"

    def test_an_endpoint_the_model_does_not_speak_is_told_with_those_it_does(self) -> None:
        reply = now(ask(path="/v1/messages", model="gpt-4o"))
        assert error(reply) == (400, "endpoint_not_supported")
        assert "/v1/chat/completions" in json.loads(reply.body)["error"]["message"]

    def test_what_is_not_open_goes_nowhere(self) -> None:
        assert error(ask(path="/v1/chat/completions", model="secret")) == (404, "model_not_found")
        assert error(ask(path="/v1/chat/completions", model="", doubt="no-model")) == (400, "invalid_body")
        limited = known(models=("gpt-4o",))
        assert error(ask(limited, path="/v1/chat/completions", model="gpt-4")) == (403, "model_not_allowed")

    @pytest.mark.parametrize(
        ("method", "path"), [("GET", "/v1/files"), ("POST", "/v1/chat/completion"), ("GET", "/v1/")]
    )
    def test_an_unknown_path_is_told_what_there_is(self, method: str, path: str) -> None:
        reply = now(ask(path=path, method=method))
        assert error(reply) == (404, "unknown_route")
        assert "/v1/models" in json.loads(reply.body)["error"]["message"]

    def test_another_method_is_told_the_right_one(self) -> None:
        reply = now(ask(path="/v1/chat/completions", method="GET"))
        assert (reply.status, lines(reply)["allow"]) == (405, "POST")
