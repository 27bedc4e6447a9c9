"""The AuthPolicy's decisions as a truth table: only ``valid: true`` opens, and a reviewed token."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from maas_api.gateway.manifests import Options, SecretKey, Target, render
from maas_api.providers import PROVIDERS, provider
from tests.support.authorino import Authorino, Decision, evaluate

KEY = "sk-oai-" + "abc_def"
TOKEN = "a-platform-token"
BEARER = {"authorization": f"Bearer {KEY}"}
USER = {"authenticated": True, "user": {"username": "system:serviceaccount:team:app", "groups": ["team"]}}
VALID = {"valid": True, "username": "alice", "groups": ["staff"], "subscription": "gold", "keyId": "1", "tenant": "t"}


def policy(options: Options | None = None, name: str = "openai", key: str | None = None) -> dict[str, Any]:
    target = Target(provider=provider(name, host="" if PROVIDERS[name].host else f"{name}.example.com"))
    rendered = render(options or Options(), [target], {} if key is None else {name: key})
    return next(item for item in rendered if item["kind"] == "AuthPolicy")


class Platform:
    """The callback and the token review, as the test wants them, and what they were asked."""

    def __init__(self, answer: Any = None, *, content_type: str = "application/json", user: Any = None) -> None:
        self.answer = answer
        self.content_type = content_type
        self.user = user
        self.posted: list[tuple[Mapping[str, Any], Any]] = []
        self.reviewed: list[tuple[str, list[str]]] = []

    def callback(self, http: Mapping[str, Any], body: str) -> tuple[str, bytes]:
        self.posted.append((http, json.loads(body)))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.content_type, self.answer if isinstance(self.answer, bytes) else json.dumps(self.answer).encode()

    def review(self, token: str, audiences: list[str]) -> Mapping[str, Any] | None:
        self.reviewed.append((token, audiences))
        return self.user if token == TOKEN else None

    def decide(self, headers: Mapping[str, str], *, lean: bool, options: Options | None = None) -> Decision:
        return Authorino(policy(options), self.callback, self.review, lean=lean).decide(headers)


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
    "limited to models": ({**VALID, "models": ["gpt-4o"]}, "application/json", 401),
    "limited to none": ({**VALID, "models": []}, "application/json", 401),
    "limited to *": ({**VALID, "models": ["*"]}, "application/json", 200),
    "models of another shape": ({**VALID, "models": "*"}, "application/json", 401),
}


@pytest.mark.parametrize("lean", [False, True], ids=["metadata present", "metadata left out when empty"])
@pytest.mark.parametrize("case", ANSWERS)
def test_a_key_passes_by_valid_true_and_by_nothing_else(case: str, lean: bool) -> None:
    answer, content_type, expected = ANSWERS[case]
    for headers in (BEARER, {"x-api-key": KEY}):
        platform = Platform(answer, content_type=content_type)
        decision = platform.decide(headers, lean=lean)
        assert decision.status == expected
        assert platform.posted[0][1] == {"key": KEY}
        assert platform.reviewed == []


@pytest.mark.parametrize("lean", [False, True], ids=["metadata present", "metadata left out when empty"])
class TestWithoutAKey:
    def test_a_reviewed_token_passes_and_is_never_shown_to_the_callback(self, lean: bool) -> None:
        platform = Platform(AssertionError("asked"), user=USER)
        decision = platform.decide({"authorization": f"Bearer {TOKEN}"}, lean=lean)
        assert decision.status == 200
        assert decision.exported == {"identity": {"userid": "system:serviceaccount:team:app"}}
        assert platform.reviewed == [(TOKEN, ["maas-default-gateway-sa"])]
        assert platform.posted == []

    @pytest.mark.parametrize(
        "user",
        [
            None,
            {"authenticated": True},
            {"authenticated": True, "user": {}},
            {"authenticated": True, "user": {"username": ""}},
        ],
    )
    def test_a_token_that_names_no_user_does_not(self, user: Any, lean: bool) -> None:
        assert Platform(VALID, user=user).decide({"authorization": f"Bearer {TOKEN}"}, lean=lean).status == 401

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"authorization": ""},
            {"authorization": "Bearer"},
            {"authorization": f"Basic {KEY}"},
            {"authorization": KEY},
            {"authorization": f"bearer {KEY}"},
            {"x-api-key": "something"},
            {"api-key": KEY},
            {"cookie": f"authorization=Bearer {KEY}"},
        ],
    )
    def test_nothing_usable_is_401_in_a_shape_that_sdks_read(self, headers: dict[str, str], lean: bool) -> None:
        decision = Platform(VALID, user=None).decide(headers, lean=lean)
        assert (decision.status, decision.headers) == (401, {"content-type": "application/json"})
        assert json.loads(decision.body)["error"]["type"] == "authentication_error"


class TestForgedHeaders:
    @pytest.mark.parametrize("name", ["x-maas-username", "x-maas-group", "x-maas-models", "x-maas-anything"])
    @pytest.mark.parametrize("lean", [False, True])
    def test_a_caller_with_a_good_credential_is_refused_too(self, name: str, lean: bool) -> None:
        assert Platform(VALID).decide({**BEARER, name: "root"}, lean=lean).status == 401
        token = {"authorization": f"Bearer {TOKEN}", name: "root"}
        assert Platform(VALID, user=USER).decide(token, lean=lean).status == 401

    def test_a_wish_for_a_subscription_is_not_forgery(self) -> None:
        assert Platform(VALID).decide({**BEARER, "x-maas-subscription": "gold"}, lean=False).status == 200


def test_a_bad_key_and_a_forbidden_request_are_told_apart_in_the_body() -> None:
    def code(answer: Any, headers: dict[str, str]) -> str:
        decision = Platform(answer).decide(headers, lean=True)
        body = json.loads(decision.body)
        assert body["type"] == "error"
        assert set(body["error"]) == {"message", "type", "param", "code"}
        assert KEY not in decision.body
        return str(body["error"]["code"])

    assert code({"valid": False}, BEARER) == "invalid_api_key"
    assert code(ConnectionError(), BEARER) == "invalid_api_key"
    assert code(VALID, {**BEARER, "x-maas-username": "root"}) == "not_permitted"
    assert code({**VALID, "models": ["a"]}, BEARER) == "not_permitted"


def test_tokens_are_counted_for_the_keys_owner() -> None:
    assert Platform(VALID).decide(BEARER, lean=False).exported == {"identity": {"userid": "alice"}}


def test_authorization_counts_before_x_api_key_as_in_the_services_own_authorizer() -> None:
    platform = Platform(VALID)
    platform.decide({**BEARER, "x-api-key": "sk-oai-" + "other_key"}, lean=False)
    assert platform.posted[0][1] == {"key": KEY}
    # A token beside a key: the key decides, and it alone.
    beside = Platform({"valid": False}, user=USER)
    assert beside.decide({"authorization": f"Bearer {TOKEN}", "x-api-key": KEY}, lean=False).status == 401
    assert beside.reviewed == []


def test_no_authorization_rule_has_a_condition_that_could_skip_it() -> None:
    rules = policy()["spec"]["rules"]
    assert all("when" not in rule for rule in rules["authorization"].values())
    assert "when" not in policy()["spec"]


def test_every_request_that_carries_a_key_is_asked_about() -> None:
    """The condition on the callback and the one inside the rules must never disagree."""
    rules = policy()["spec"]["rules"]
    asked = rules["metadata"]["apiKeyValidation"]["when"][0]["predicate"]
    assert rules["authorization"]["key-or-user"]["patternMatching"]["patterns"][0]["predicate"].startswith(f"{asked} ?")
    assert rules["authentication"]["platform-tokens"]["when"] == [{"predicate": f"!{asked}"}]
    assert rules["authentication"]["api-keys"]["when"] == [{"predicate": asked}]


@pytest.mark.parametrize(("preset", "seconds"), [("off", None), ("short", 10), ("standard", 60), ("long", 300)])
def test_a_cache_preset_says_how_long_a_revoked_key_may_work(preset: str, seconds: int | None) -> None:
    found = policy(Options(cache=preset))
    callback = found["spec"]["rules"]["metadata"]["apiKeyValidation"]
    assert found["metadata"]["annotations"]["maas.opendatahub.io/revoked-within"] == f"{seconds or 0}s"
    if seconds is None:
        assert "cache" not in callback
        return
    assert callback["cache"]["ttl"] == seconds
    state = {"auth": {}, "request": {"headers": BEARER}}
    assert evaluate(callback["cache"]["key"]["expression"], state) == KEY


def test_the_shared_secret_is_a_reference() -> None:
    options = Options(internal_secret=SecretKey("maas-internal", "secret"))
    http = policy(options)["spec"]["rules"]["metadata"]["apiKeyValidation"]["http"]
    assert http["sharedSecretRef"] == {"name": "maas-internal", "key": "secret"}
    assert http["credentials"] == {"customHeader": {"name": "X-MaaS-Internal-Secret"}}


@pytest.mark.parametrize(
    ("name", "header", "value"),
    [("openai", "authorization", "Bearer k"), ("anthropic", "x-api-key", "k"), ("azure", "api-key", "k")],
)
def test_a_literal_provider_key_replaces_the_callers_in_the_providers_own_header(
    name: str, header: str, value: str
) -> None:
    found = policy(Options(provider_keys="literal"), name, "k")
    decision = Authorino(found, Platform(VALID).callback, Platform().review).decide(BEARER)
    assert decision.headers == {header: value}
