"""The policy of maas-api's own route, evaluated: its CEL over what Authorino would have before it."""

from __future__ import annotations

from typing import Any

import cel
import pytest

from tests.support.kubernetes import find, objects

RULES = find(objects("overlays/openshift"), "AuthPolicy", "maas-api-auth-policy")["spec"]["rules"]
KEY = "sk-oai-" + "k" * 20
AS_OPENAI = {"authorization": f"Bearer {KEY}"}
AS_ANTHROPIC = {"x-api-key": KEY}
AS_USER = {"authorization": "Bearer some.platform.token"}
USER = {"user": {"username": "alice", "groups": ["team-a", 'odd","group']}}
VALID = {"valid": True, "username": "alice", "groups": ["team-a"], "subscription": "gold"}


def evaluated(expression: str, headers: dict[str, str], auth: dict[str, Any]) -> Any:
    context = cel.Context(variables={"request": {"headers": headers}, "auth": auth})
    context.add_function("substring", lambda text, start: text[start:])  # of CEL's extension for strings
    return cel.evaluate(expression, context)


def holds(expression: str, headers: dict[str, str], auth: dict[str, Any]) -> bool:
    """Whether a predicate is true. One that cannot be evaluated is not, as in Authorino."""
    try:
        return evaluated(expression, headers, auth) is True
    except (RuntimeError, ValueError, TypeError, KeyError):
        return False


def passes(headers: dict[str, str], auth: dict[str, Any]) -> bool:
    """Whether every authorization rule lets the request pass. None has a condition, so none can be skipped."""
    rules = RULES["authorization"].values()
    assert all(rule.keys() == {"patternMatching"} for rule in rules)
    patterns = [pattern["predicate"] for rule in rules for pattern in rule["patternMatching"]["patterns"]]
    return all(holds(pattern, headers, auth) for pattern in patterns)


def answered(value: Any) -> dict[str, Any]:
    """What is known after the callback gave this."""
    return {"identity": KEY, "metadata": {"apiKeyValidation": value}}


TABLE: dict[str, tuple[dict[str, str], dict[str, Any], bool]] = {
    "valid key": (AS_OPENAI, answered(VALID), True),
    "valid key as Anthropic's SDK sends it": (AS_ANTHROPIC, answered(VALID), True),
    "callback absent": (AS_OPENAI, {"identity": KEY, "metadata": {}}, False),
    "no metadata at all": (AS_OPENAI, {"identity": KEY}, False),
    "callback without valid": (AS_OPENAI, answered({"error": "validation failed"}), False),
    "callback gave text": (AS_OPENAI, answered("404 page not found"), False),
    "callback gave nothing": (AS_OPENAI, answered(None), False),
    "valid is false": (AS_OPENAI, answered({"valid": False, "reason": "key not found"}), False),
    "valid is the text true": (AS_OPENAI, answered({"valid": "true"}), False),
    "valid is 1": (AS_OPENAI, answered({"valid": 1}), False),
    "platform token": (AS_USER, {"identity": USER}, True),
    "nobody's token": (AS_USER, {"identity": {}}, False),
    "token without a name": (AS_USER, {"identity": {"user": {"username": ""}}}, False),
    "valid key with a forged user name": ({**AS_OPENAI, "x-maas-username": "root"}, answered(VALID), False),
    "platform token with forged groups": ({**AS_USER, "x-maas-group": '["admins"]'}, {"identity": USER}, False),
    "platform token with a forged allow-list": ({**AS_USER, "x-maas-models": "[]"}, {"identity": USER}, False),
    "platform token that wishes a subscription": ({**AS_USER, "x-maas-subscription": "a"}, {"identity": USER}, True),
    "no credential, and an identity from nowhere": ({}, {"identity": KEY}, False),
}


@pytest.mark.parametrize(("headers", "auth", "expected"), TABLE.values(), ids=TABLE.keys())
def test_who_may_pass(headers: dict[str, str], auth: dict[str, Any], expected: bool) -> None:
    assert passes(headers, auth) is expected


@pytest.mark.parametrize(
    ("headers", "key", "token"), [(AS_OPENAI, True, False), (AS_ANTHROPIC, True, False), (AS_USER, False, True)]
)
def test_a_key_is_never_reviewed_and_a_token_never_sent_to_the_callback(
    headers: dict[str, str], key: bool, token: bool
) -> None:
    authentication = RULES["authentication"]
    for rule, expected in ((authentication["api-keys"], key), (authentication["platform-tokens"], token)):
        (condition,) = rule["when"]
        assert holds(condition["predicate"], headers, {}) is expected
    (condition,) = RULES["metadata"]["apiKeyValidation"]["when"]
    assert holds(condition["predicate"], headers, {}) is key


@pytest.mark.parametrize("headers", [AS_OPENAI, AS_ANTHROPIC])
def test_the_callback_gets_the_bare_key(headers: dict[str, str]) -> None:
    body = RULES["metadata"]["apiKeyValidation"]["http"]["body"]["expression"]
    assert evaluated(body, headers, {}) == {"key": KEY}


def said(headers: dict[str, str], auth: dict[str, Any]) -> dict[str, str]:
    """The headers that the policy adds; a selector's value is not evaluated here, its path is given instead."""
    found = {}
    for rule in RULES["response"]["success"]["headers"].values():
        if all(holds(condition["predicate"], headers, auth) for condition in rule.get("when", ())):
            plain = rule["plain"]
            found[rule["key"]] = plain.get("selector") or evaluated(plain["expression"], headers, auth)
    return found


@pytest.mark.parametrize("headers", [AS_OPENAI, AS_ANTHROPIC])
def test_a_key_speaks_for_its_owner(headers: dict[str, str]) -> None:
    assert said(headers, answered(VALID)) == {
        "x-maas-username": "alice",
        "x-maas-group": "auth.metadata.apiKeyValidation.groups.@tostr",
        "x-maas-subscription": "gold",
        "authorization": f"Bearer {KEY}",
    }


def test_a_limited_key_brings_its_limits() -> None:
    found = said(AS_OPENAI, answered({**VALID, "models": ["gpt-*"]}))
    assert found["x-maas-models"] == "auth.metadata.apiKeyValidation.models.@tostr"


def test_a_platform_user_speaks_for_itself() -> None:
    assert said(AS_USER, {"identity": USER}) == {
        "x-maas-username": "alice",
        "x-maas-group": "auth.identity.user.groups.@tostr",
    }
