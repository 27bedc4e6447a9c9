"""The policy of maas-api's own route, evaluated: what Authorino makes of it before each answer of the callback."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.authorino import Authorino, Decision, Question
from tests.support.kubernetes import find, objects

POLICY = find(objects("overlays/openshift"), "AuthPolicy", "maas-api-auth-policy")
KEY = "sk-oai-" + "k" * 20
AS_OPENAI = {"authorization": f"Bearer {KEY}"}
AS_ANTHROPIC = {"x-api-key": KEY}
AS_AZURE = {"api-key": KEY}
AS_USER = {"authorization": "Bearer some.platform~token"}
USER = {"valid": True, "username": "alice", "groups": ["team-a", 'odd","group']}
VALID = {"valid": True, "username": "alice", "groups": ["team-a"], "subscription": "gold"}
NOTHING = object()


def decide(headers: dict[str, str], answer: Any, *, asked: list[Question] | None = None) -> Decision:
    """The decision where the callback gives this; ``NOTHING``: it was not reached."""

    def callback(question: Question) -> tuple[str, bytes]:
        if asked is not None:
            asked.append(question)
        if answer is NOTHING:
            raise ConnectionError
        return "application/json", json.dumps(answer).encode()

    return Authorino(POLICY, callback, lean=True).decide(headers)


TABLE: dict[str, tuple[dict[str, str], Any, bool]] = {
    "valid key": (AS_OPENAI, VALID, True),
    "valid key as Anthropic's SDK sends it": (AS_ANTHROPIC, VALID, True),
    "valid key as Azure's SDK sends it": (AS_AZURE, VALID, True),
    "callback not reached": (AS_OPENAI, NOTHING, False),
    "callback without valid": (AS_OPENAI, {"error": "validation failed"}, False),
    "callback gave text": (AS_OPENAI, "404 page not found", False),
    "callback gave nothing": (AS_OPENAI, None, False),
    "valid is false": (AS_OPENAI, {"valid": False, "reason": "key not found"}, False),
    "valid is the text true": (AS_OPENAI, {"valid": "true"}, False),
    "valid is 1": (AS_OPENAI, {"valid": 1}, False),
    "platform token": (AS_USER, USER, True),
    "nobody's token": (AS_USER, {"valid": False, "tenant": "", "reason": "unknown platform token"}, False),
    "token that could not be reviewed": (AS_USER, NOTHING, False),
    "valid key with a forged user name": ({**AS_OPENAI, "x-maas-username": "root"}, VALID, False),
    "platform token with forged groups": ({**AS_USER, "x-maas-group": '["admins"]'}, USER, False),
    "platform token with a forged allow-list": ({**AS_USER, "x-maas-models": "[]"}, USER, False),
    "platform token that wishes a subscription": ({**AS_USER, "x-maas-subscription": "a"}, USER, True),
    "no credential": ({}, VALID, False),
    "a credential of another scheme": ({"authorization": "Basic dXNlcjpwYXNz"}, VALID, False),
}


@pytest.mark.parametrize(("headers", "answer", "expected"), TABLE.values(), ids=TABLE.keys())
def test_who_may_pass(headers: dict[str, str], answer: Any, expected: bool) -> None:
    assert decide(headers, answer).status == (200 if expected else 401)


@pytest.mark.parametrize("headers", [AS_OPENAI, AS_ANTHROPIC, AS_AZURE, AS_USER])
def test_the_callback_gets_the_bare_credential_and_whom_a_token_must_be_for(headers: dict[str, str]) -> None:
    asked: list[Question] = []
    decide(headers, VALID, asked=asked)
    assert json.loads(asked[0].body) == {"key": "some.platform~token" if headers is AS_USER else KEY}
    audiences = parse_qs(urlsplit(asked[0].url).query)["audience"]
    assert audiences == ["https://kubernetes.default.svc", "maas-default-gateway-sa"]


@pytest.mark.parametrize("headers", [AS_OPENAI, AS_ANTHROPIC, AS_AZURE])
def test_a_key_speaks_for_its_owner(headers: dict[str, str]) -> None:
    decision = decide(headers, VALID)
    assert {**headers, **decision.headers} == {
        **headers,
        "x-maas-username": "alice",
        "x-maas-group": '["team-a"]',
        "x-maas-subscription": "gold",
        "authorization": f"Bearer {KEY}",
    }


@pytest.mark.parametrize("models", [["gpt-*"], []])
def test_a_limited_key_brings_its_limits(models: list[str]) -> None:
    assert json.loads(decide(AS_OPENAI, {**VALID, "models": models}).headers["x-maas-models"]) == models


def test_a_platform_user_speaks_for_itself_and_keeps_a_wish_for_a_subscription() -> None:
    decision = decide({**AS_USER, "x-maas-subscription": "gold"}, USER)
    assert decision.headers == {
        "x-maas-username": "alice",
        "x-maas-group": json.dumps(USER["groups"], separators=(",", ":")),
    }


@pytest.mark.parametrize("headers", [AS_OPENAI, AS_USER])
def test_one_expression_judges_a_request_that_passes(headers: dict[str, str]) -> None:
    """Each parses the whole authorization JSON again. Before, it took ten for a key and nine for a token."""
    assert decide(headers, VALID if headers is AS_OPENAI else USER).expressions == 1
