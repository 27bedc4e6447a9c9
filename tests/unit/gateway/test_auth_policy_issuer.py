"""The AuthPolicy that lets in users of an OpenID Connect issuer: what Authorino verifies, and what it leaves to us."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from maas_api.gateway.manifests import OidcIssuer, OptionError, Options, Target, render
from maas_api.providers import provider
from tests.support.authorino import Authorino, Decision, Question

ISSUER = "https://sso.example.com/realms/maas"
OIDC = OidcIssuer(ISSUER, ("maas", "models"), ("cli", "console"))
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2lnbmVk"
BEARER = {"authorization": f"Bearer {JWT}"}
KEY = "sk-oai-" + "abc_def"
GOOD = {"iss": ISSUER, "aud": "maas", "azp": "cli", "sub": "alice"}
VALID = {"valid": True, "username": "alice", "groups": ["dev"], "allowed": True}


class Gateway:
    """One policy, an issuer that vouches for these claims, and maas-api behind."""

    def __init__(self, claims: Mapping[str, Any] | None, options: Options | None = None, answer: Any = VALID) -> None:
        target = Target(provider=provider("openai"))
        rendered = render(options or Options(oidc=OIDC), [target])
        policy = next(item for item in rendered if item["kind"] == "AuthPolicy")
        self.asked: list[Question] = []
        self.claims, self.answer = claims, answer
        self._authorino = Authorino(policy, self._callback, verify=self._verify)

    def _verify(self, issuer: str, token: str) -> Mapping[str, Any] | None:
        assert (issuer, token) == (ISSUER, JWT)
        return self.claims

    def _callback(self, question: Question) -> tuple[str, bytes]:
        self.asked.append(question)
        return "application/json", json.dumps(self.answer).encode()

    def decide(self, headers: Mapping[str, str] = BEARER) -> Decision:
        return self._authorino.decide(headers, "/external/openai/v1/chat/completions")

    @property
    def posted(self) -> Any:
        return json.loads(self.asked[-1].body)


@pytest.mark.parametrize(
    ("claims", "passes"),
    [
        (GOOD, True),
        ({**GOOD, "aud": ["shop", "models"]}, True),
        ({**GOOD, "azp": "console"}, True),
        ({"iss": ISSUER, "aud": "maas", "client_id": "cli"}, True),
        ({**GOOD, "aud": "shop"}, False),
        ({**GOOD, "aud": "maas-admin"}, False),
        ({**GOOD, "aud": []}, False),
        ({**GOOD, "aud": {"maas": True}}, False),
        ({"iss": ISSUER, "azp": "cli"}, False),
        ({**GOOD, "azp": "shop"}, False),
        ({**GOOD, "azp": "shop", "client_id": "cli"}, False),
        ({"iss": ISSUER, "aud": "maas"}, False),
        ({**GOOD, "iss": "https://elsewhere.example.com"}, False),
    ],
)
def test_a_verified_token_passes_by_issuer_audience_and_authorized_party(claims: dict[str, Any], passes: bool) -> None:
    assert (Gateway(claims).decide().status == 200) is passes


def test_any_party_passes_where_none_is_named() -> None:
    options = Options(oidc=OIDC._replace(parties=()))
    assert Gateway({"iss": ISSUER, "aud": "maas"}, options).decide().status == 200
    assert Gateway({"iss": ISSUER, "aud": "shop"}, options).decide().status == 401


def test_who_it_is_and_what_they_may_call_is_still_maas_apis_word() -> None:
    gateway = Gateway(GOOD)
    assert gateway.decide().exported == {"identity": {"userid": "alice"}}
    assert gateway.posted["token"] == JWT
    for answer in ({"valid": False}, {**VALID, "allowed": False}, {}):
        assert Gateway(GOOD, answer=answer).decide().status == 401


def test_what_authorino_does_not_verify_is_asked_about_as_any_platform_token() -> None:
    gateway = Gateway(None)
    assert gateway.decide().status == 200
    assert (gateway.posted["key"], gateway.posted["token"]) == (JWT, None)


def test_without_tokens_of_the_cluster_it_ends_there() -> None:
    gateway = Gateway(None, Options(oidc=OIDC, token_audiences=()))
    assert gateway.decide().status == 401
    assert gateway.decide({"authorization": "Bearer some.platform~token"}).status == 401
    assert gateway.asked == []
    gateway.claims = GOOD
    assert gateway.decide().status == 200
    assert gateway.asked[-1].url.endswith("?audience=maas&audience=models"), "that it may be about a token"


@pytest.mark.parametrize("claims", [GOOD, None])
def test_an_api_key_counts_before_a_token_and_is_asked_about_as_ever(claims: dict[str, Any] | None) -> None:
    for headers in ({"authorization": f"Bearer {KEY}"}, {**BEARER, "x-api-key": KEY}):
        gateway = Gateway(claims)
        assert gateway.decide(headers).status == 200
        assert (gateway.posted["key"], gateway.posted["token"]) == (KEY, None)


def test_a_request_that_passes_still_costs_one_expression() -> None:
    assert Gateway(GOOD).decide().expressions == 1


def test_where_an_issuer_has_its_keys_is_read_again_every_hour() -> None:
    policies = [
        item
        for item in render(Options(oidc=OIDC), [Target(provider=provider("openai"))])
        if item["kind"] == "AuthPolicy"
    ]
    assert [item["spec"]["rules"]["authentication"]["issuer-token"]["jwt"] for item in policies] == [
        {"issuerUrl": ISSUER, "ttl": 3600}
    ] * len(policies)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"oidc": OIDC._replace(url="http://sso.example.com")}, "oidc-issuer: must be an https:// URL"),
        ({"oidc": OIDC._replace(audiences=())}, "oidc-audience: at least one"),
        ({"oidc": OIDC._replace(audiences=(" ",))}, "oidc-audience: at least one"),
        ({"oidc": OIDC, "auth": "istio"}, "oidc-issuer: is for Authorino"),
    ],
)
def test_an_issuer_that_would_not_hold_is_refused_with_the_rule(change: dict[str, Any], rule: str) -> None:
    with pytest.raises(OptionError, match=rule):
        Options(**change)
