"""The AuthPolicy's decisions as a truth table: only ``valid: true`` opens, and a reviewed token."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from maas_api.gateway.manifests import Options, SecretKey, Target, render
from maas_api.providers import PROVIDERS, provider
from tests.support.authorino import Authorino, Decision, Question

KEY = "sk-oai-" + "abc_def"
BEARER = {"authorization": f"Bearer {KEY}"}
TOKEN = {"authorization": "Bearer a.platform~token"}
VALID = {
    "valid": True,
    "username": "alice",
    "groups": ["staff"],
    "subscription": "gold",
    "keyId": "1",
    "tenant": "t",
    "allowed": True,
}
GONE = '{"type":"error","error":{"message":"gone","type":"not_found_error","param":"model","code":"model_not_found"}}'
NAMED = {"x-gateway-model-name": "gpt-4o"}
PATH = "/external/openai/v1/chat/completions"


def policy(options: Options | None = None, name: str = "openai", key: str | None = None) -> dict[str, Any]:
    target = Target(provider=provider(name, host="" if PROVIDERS[name].host else f"{name}.example.com"))
    rendered = render(options or Options(), [target], {} if key is None else {name: key})
    return next(item for item in rendered if item["kind"] == "AuthPolicy")


class Platform:
    """The callback as the test wants it, and what it was asked."""

    def __init__(self, answer: Any = None, *, content_type: str = "application/json") -> None:
        self.answer = answer
        self.content_type = content_type
        self.asked: list[Question] = []

    def callback(self, question: Question) -> tuple[str, bytes]:
        self.asked.append(question)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.content_type, self.answer if isinstance(self.answer, bytes) else json.dumps(self.answer).encode()

    def decide(self, headers: Mapping[str, str], *, lean: bool, options: Options | None = None) -> Decision:
        return Authorino(policy(options), self.callback, lean=lean).decide(headers, PATH)

    @property
    def posted(self) -> Any:
        """The body of the last question."""
        return json.loads(self.asked[-1].body)


ANSWERS = {
    "valid": (VALID, "application/json", 200),
    "valid, charset": (VALID, "application/json; charset=utf-8", 200),
    "unreachable": (ConnectionError("refused"), "application/json", 401),
    "empty body (a transient fault)": (b"", "application/json", 401),
    "not JSON": (b"<html>", "application/json", 401),
    "valid: false": ({**VALID, "valid": False}, "application/json", 401),
    "valid: 'true', a text": ({**VALID, "valid": "true"}, "application/json", 401),
    "valid: 1": ({**VALID, "valid": 1}, "application/json", 401),
    "valid: null": ({**VALID, "valid": None}, "application/json", 401),
    "valid: [true]": ({**VALID, "valid": [True]}, "application/json", 401),
    "valid: {}": ({**VALID, "valid": {}}, "application/json", 401),
    "valid missing": ({"username": "alice"}, "application/json", 401),
    "an error": ({"error": "validation failed"}, "application/json", 401),
    "an error page as text": (b'{"valid":true}', "text/html", 401),
    "a list": ([VALID], "application/json", 401),
    "true alone": (True, "application/json", 401),
    "nested elsewhere": ({"result": VALID}, "application/json", 401),
    "allowed: false": ({**VALID, "allowed": False}, "application/json", 401),
    "allowed: 'true', a text": ({**VALID, "allowed": "true"}, "application/json", 401),
    "allowed: 1": ({**VALID, "allowed": 1}, "application/json", 401),
    "allowed: null": ({**VALID, "allowed": None}, "application/json", 401),
    "allowed: [true]": ({**VALID, "allowed": [True]}, "application/json", 401),
    "allowed: {}": ({**VALID, "allowed": {}}, "application/json", 401),
    "allowed, not valid": ({**VALID, "valid": False}, "application/json", 401),
    "allowed alone": ({"allowed": True, "username": "alice"}, "application/json", 401),
    "a service that knows no calls": ({"valid": True, "username": "alice"}, "application/json", 401),
    "a limited key, allowed": ({**VALID, "models": ["gpt-4o"]}, "application/json", 200),
    "a limited key, not allowed": ({**VALID, "models": ["gpt-4o"], "allowed": False}, "application/json", 401),
}


LEAN = pytest.mark.parametrize("lean", [False, True], ids=["metadata present", "metadata left out when empty"])
HEADERS = {"OpenAI": BEARER, "Anthropic": {"x-api-key": KEY}, "Azure": {"api-key": KEY}, "platform": TOKEN}


@LEAN
@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS.keys())
@pytest.mark.parametrize("case", ANSWERS)
def test_a_credential_passes_by_valid_true_and_by_nothing_else(case: str, headers: dict[str, str], lean: bool) -> None:
    answer, content_type, expected = ANSWERS[case]
    platform = Platform(answer, content_type=content_type)
    assert platform.decide(headers, lean=lean).status == expected
    assert platform.posted["key"] == (KEY if headers is not TOKEN else "a.platform~token")


@pytest.mark.parametrize(
    ("told", "model", "body"),
    [
        ({}, None, None),
        (NAMED, "gpt-4o", None),
        ({**NAMED, "x-maas-body": "nested=gpt-5;tools=advisor"}, "gpt-4o", "nested=gpt-5;tools=advisor"),
        ({"x-maas-body": "doubt=twice"}, None, "doubt=twice"),
    ],
)
def test_the_callback_is_told_the_call(told: dict[str, str], model: str | None, body: str | None) -> None:
    platform = Platform(VALID)
    decision = Authorino(policy(), platform.callback).decide({**BEARER, **told}, f"{PATH}?beta=true", "POST")
    assert decision.status == 200
    assert platform.posted == {"key": KEY, "model": model, "body": body, "method": "POST", "path": PATH}


@LEAN
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": f"Basic {KEY}"},
        {"authorization": KEY},
        {"authorization": f"bearer {KEY}"},
        {"authorization": f"Bearer  {KEY}"},
        {"authorization": f'Bearer {KEY}"x'},
        {"authorization": f"Bearer {KEY} x"},
        {"x-api-key": "something"},
        {"x-api-key": f"{KEY} x"},
        {"cookie": f"authorization=Bearer {KEY}"},
    ],
)
def test_nothing_usable_is_401_in_a_shape_that_sdks_read(headers: dict[str, str], lean: bool) -> None:
    platform = Platform(VALID)
    decision = platform.decide(headers, lean=lean)
    assert (decision.status, decision.headers) == (401, {"content-type": "application/json"})
    assert json.loads(decision.body)["error"]["type"] == "authentication_error"
    assert platform.asked == []


class TestForgedHeaders:
    @pytest.mark.parametrize("name", ["x-maas-username", "x-maas-group", "x-maas-models", "x-maas-anything"])
    @LEAN
    def test_a_caller_with_a_good_credential_is_refused_too(self, name: str, lean: bool) -> None:
        for headers in (BEARER, TOKEN):
            assert Platform(VALID).decide({**headers, name: "root"}, lean=lean).status == 401

    def test_a_wish_for_a_subscription_is_not_forgery(self) -> None:
        assert Platform(VALID).decide({**BEARER, "x-maas-subscription": "gold"}, lean=False).status == 200


def test_a_bad_credential_is_told_from_a_forbidden_request_and_from_one_that_could_not_be_checked() -> None:
    def said(answer: Any, headers: dict[str, str]) -> tuple[str, str]:
        decision = Platform(answer).decide(headers, lean=True)
        body = json.loads(decision.body)
        assert body["type"] == "error"
        assert set(body["error"]) == {"message", "type", "param", "code"}
        assert KEY not in decision.body
        return str(body["error"]["code"]), decision.headers["x-should-retry"]

    assert said({"valid": False}, BEARER) == ("invalid_api_key", "false")
    assert said({"valid": False}, TOKEN) == ("invalid_api_key", "false")
    assert said(ConnectionError(), BEARER) == ("unavailable", "true")
    assert said(b"", TOKEN) == ("unavailable", "true")
    assert said(VALID, {**BEARER, "x-maas-username": "root"}) == ("not_permitted", "false")
    assert said({**VALID, "allowed": False, "refusal": GONE}, BEARER) == ("model_not_found", "false")
    assert said({**VALID, "allowed": False, "refusal": GONE}, TOKEN) == ("model_not_found", "false")
    assert said({"valid": True}, BEARER) == ("not_permitted", "false")


def test_tokens_are_counted_for_the_credentials_owner() -> None:
    for headers in (BEARER, TOKEN):
        assert Platform(VALID).decide(headers, lean=False).exported == {"identity": {"userid": "alice"}}


def test_a_key_counts_before_a_token_and_authorization_before_other_headers() -> None:
    """As in the service's own authorizer."""
    other = "sk-oai-" + "other_key"
    platform = Platform(VALID)
    for headers, key in (
        ({**BEARER, "x-api-key": other}, KEY),
        ({**TOKEN, "x-api-key": other}, other),
        ({**TOKEN, "api-key": other}, other),
        ({"x-api-key": KEY, "api-key": other}, KEY),
    ):
        platform.decide(headers, lean=False)
        assert platform.posted["key"] == key


def test_the_authorization_rule_has_no_condition_that_could_skip_it() -> None:
    rules = policy()["spec"]["rules"]
    assert all("when" not in rule for rule in (*rules["authorization"].values(), *rules["metadata"].values()))
    assert "when" not in policy()["spec"]


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS.keys())
@pytest.mark.parametrize("cache", ["off", "standard"])
def test_one_expression_judges_a_request_that_passes(headers: dict[str, str], cache: str) -> None:
    """Each parses the whole authorization JSON again. Before, a key took eight without a cache and nine with one."""
    assert Platform(VALID).decide(headers, lean=True, options=Options(cache=cache)).expressions == 1


def test_no_platform_token_is_reviewed_by_authorino_which_allows_itself_twenty_a_second() -> None:
    authorino = Authorino(policy(Options(cache="off")), Platform(VALID).callback, lambda *_: None, clock=lambda: 0.0)
    assert {authorino.decide(TOKEN).status for _ in range(200)} == {200}


class TestCache:
    @pytest.mark.parametrize(("preset", "seconds"), [("off", 0), ("short", 10), ("standard", 60), ("long", 300)])
    def test_a_preset_says_how_long_an_answer_is_remembered(self, preset: str, seconds: int) -> None:
        found = policy(Options(cache=preset))
        assert found["metadata"]["annotations"]["maas.opendatahub.io/answers-cached-for"] == f"{seconds}s"
        now = [0.0]
        platform = Platform(VALID)
        authorino = Authorino(found, platform.callback, clock=lambda: now[0])
        for at in (0.0, seconds / 2, seconds):
            now[0] = at
            authorino.decide(BEARER)
        assert len(platform.asked) == (2 if seconds else 3)
        authorino.decide({"x-api-key": "sk-oai-" + "other_key"})
        assert platform.posted["key"] == "sk-oai-" + "other_key", "one credential's answer is not another's"

    def test_one_calls_answer_is_not_anothers(self) -> None:
        """Whatever decides it is part of what it is remembered by, and no two questions are written alike."""
        platform = Platform(VALID)
        authorino = Authorino(policy(), platform.callback, clock=lambda: 0.0)
        calls = [
            (BEARER, PATH, "POST"),
            ({"x-api-key": KEY + "x"}, PATH, "POST"),
            ({**BEARER, **NAMED}, PATH, "POST"),
            ({**BEARER, **NAMED}, PATH, "GET"),
            ({**BEARER, **NAMED}, PATH + "s", "POST"),
            ({**BEARER, "x-gateway-model-name": "gpt-4o "}, PATH, "POST"),
            ({**BEARER, "x-maas-body": "gpt-4o"}, PATH, "POST"),
            ({**BEARER, **NAMED, "x-maas-body": "nested=gpt-5"}, PATH, "POST"),
            ({**BEARER, "x-gateway-model-name": f"{PATH} gpt-4o"}, PATH, "POST"),
            ({**BEARER, "x-gateway-model-name": "{auth.identity}"}, PATH, "POST"),
        ]
        for _ in range(2):
            for headers, path, method in calls:
                assert authorino.decide(headers, path, method).status == 200
        assert len(platform.asked) == len(calls)
        assert len({question.body for question in platform.asked}) == len(calls)

    @pytest.mark.parametrize(("groups", "questions"), [(20, 1), (40, 2)])
    def test_an_answer_too_long_for_it_costs_a_callback_and_no_group(self, groups: int, questions: int) -> None:
        platform = Platform({**VALID, "groups": [f"group-with-a-name-{number:05}" for number in range(groups)]})
        authorino = Authorino(policy(), platform.callback)
        assert [authorino.decide(BEARER).status for _ in range(2)] == [200, 200]
        assert len(platform.asked) == questions


class TestSharedSecret:
    OPTIONS = Options(internal_secret=SecretKey("maas-internal", "secret"), cache="off")

    def test_it_is_shown_to_the_callback(self) -> None:
        platform = Platform(VALID)
        authorino = Authorino(policy(self.OPTIONS), platform.callback, secrets={"maas-internal/secret": "knock"})
        assert authorino.decide(BEARER).status == 200
        assert platform.asked[0].headers["x-maas-internal-secret"] == "knock"

    def test_a_line_break_in_it_refuses_every_key_as_not_checked(self) -> None:
        """What ``openssl rand -hex 32 > file`` writes ends in one."""
        platform = Platform(VALID)
        authorino = Authorino(policy(self.OPTIONS), platform.callback, secrets={"maas-internal/secret": "knock\n"})
        assert json.loads(authorino.decide(BEARER).body)["error"]["code"] == "unavailable"
        assert platform.asked == []


@pytest.mark.parametrize(
    ("name", "header", "value"),
    [("openai", "authorization", 'Bearer k"\\y'), ("anthropic", "x-api-key", 'k"\\y'), ("azure", "api-key", 'k"\\y')],
)
def test_a_literal_provider_key_replaces_the_callers_in_the_providers_own_header(
    name: str, header: str, value: str
) -> None:
    """It is an expression: a static value would arrive as a list of bytes."""
    found = policy(Options(provider_keys="literal"), name, 'k"\\y')
    assert Authorino(found, Platform(VALID).callback).decide(BEARER).headers == {header: value}
    found["spec"]["rules"]["response"]["success"]["headers"][header]["plain"] = {"value": "k"}
    assert Authorino(found, Platform(VALID).callback).decide(BEARER).headers == {header: "{[34 107 34] <nil>}"}
