"""Kuadrant's AuthPolicy of a provider: who may pass, such that doubt is a no, at the least cost to Authorino.

What Authorino does (read from its source, measured on a real one) decides the form of the rules:

* each CEL expression parses the whole authorization JSON again, which is most of Authorino's work. A selector does not.
  So a request that passes is judged by one expression, and everything else is a selector;
* a callback that fails is not fatal: its result is absent, and so may be ``auth.metadata`` as a whole;
* a condition (``when``) that cannot be evaluated skips its rule, and a skipped authorization rule lets pass. So the one
  authorization rule has none;
* a predicate that cannot be evaluated denies;
* a selector compares text, and the text "true" equals the boolean. CEL tells them apart;
* its own TokenReviews, one a request, end at 20 a second. So platform tokens go to the callback too, which remembers
  whose they are;
* a static header value is written as Go prints a byte slice. An expression is not;
* it has one status for every refusal, so that of the commonest is taken and the body tells them apart.
"""

from __future__ import annotations

import json
from urllib.parse import urlencode

from maas_api.access import named
from maas_api.gateway.manifests.options import OidcIssuer, Options, Target
from maas_api.gateway.manifests.resources import Manifest, on_route, resource, route_name
from maas_api.gateway.quota import SAID
from maas_api.providers import CREDENTIAL_HEADERS
from maas_api.usage import record

CALLBACK = "apiKeyValidation"
"""The callback's result, under ``auth.metadata``."""

ANSWER = f"auth.metadata.{CALLBACK}"
CREDENTIAL = "auth.identity"
"""The API key or platform token, without ``Bearer``: as a selector and in CEL. Of a token that Authorino has verified
these are the claims, and the token is their member ``_TOKEN``."""
_TOKEN = "maas-token"  # noqa: S105 -- the name of a member

_KEY = "sk-oai-[0-9A-Za-z_]+"
_PLATFORM = "[0-9A-Za-z._~+/-]+=*"  # RFC 6750, b64token
_JWT = r"eyJ[0-9A-Za-z_-]+\.[0-9A-Za-z_-]+\.[0-9A-Za-z_-]+"
_DISCOVERY_SECONDS = 3600  # without a number Authorino reads where an issuer has its keys once, for ever
_AFTER_BEARER = '.@extract:{"sep":" ","pos":1}'

_ANSWERED = f"has(auth.metadata) && has({ANSWER}) && has({ANSWER}.valid)"
_VALID = f"{_ANSWERED} && {ANSWER}.valid == true"
"""The callback's ``valid: true``, and nothing else: absence of any part denies."""

_ALLOWED = f"{_VALID} && has({ANSWER}.allowed) && {ANSWER}.allowed == true"
"""The same of the call. A service that does not know the question says no ``allowed``, and nothing passes."""

_KEY_WHERE_IT_BELONGS = (
    '!request.path.contains("sk-oai-") && !request.headers.exists(name, '
    f'!(name in {json.dumps(CREDENTIAL_HEADERS)}) && request.headers[name].contains("sk-oai-"))'
)
"""A key anywhere else (another header, the path, the query) would go on to the model's server and into logs."""

_NO_FORGED_IDENTITY = (
    '!request.headers.exists(name, name.startsWith("x-maas-") && name != "x-maas-subscription" && '
    f'name != "{named.BODY_HEADER.lower()}")'
)
"""Only a gateway says who a caller is. The subscription may be wished for; what the body names is the filter's word."""

_METERED = {
    record.KEY_ID: f"{ANSWER}.keyId",
    record.USER: f"{ANSWER}.username",
    record.SUBSCRIPTION: f"{ANSWER}.subscription",
    record.MODEL: f"{ANSWER}.model",
    record.PROVIDER: f"{ANSWER}.provider",
}

CALL: Manifest = {
    # As the gateway's filter read them in the body; null where it told nothing.
    "model": {"selector": f"request.headers.{named.MODEL_HEADER.lower()}"},
    "body": {"selector": f"request.headers.{named.BODY_HEADER.lower()}"},
    "method": {"selector": "request.method"},
    "path": {"selector": "request.url_path"},
}
"""What the callback is told of the call."""

_ANSWERED_FOR = (CREDENTIAL, "request.method", "request.path", CALL["body"]["selector"], CALL["model"]["selector"])
"""What an answer about a call is remembered by: all that decides it. Only the last may have a space in it, so no two
questions share an answer."""


def auth_policy(options: Options, target: Target, key: str | None = None) -> Manifest:
    """The policy on the provider's route. ``key`` is the provider's own, written out: only where asked for."""
    success = exported_user()
    if key is not None:
        header, prefix = target.provider.credential_header, target.provider.credential_prefix
        success["headers"] = {header: {"plain": {"expression": json.dumps(prefix + key)}}}
    if options.metering != "off":
        success["headers"] = metered_headers()
    rules = call_rules(options)
    rules["response"]["success"] = success
    spec = {"targetRef": on_route(target), "rules": rules}
    policy = resource("kuadrant.io/v1", "AuthPolicy", f"{route_name(target)}-auth", options, target, spec=spec)
    policy["metadata"]["annotations"] = {"maas.opendatahub.io/answers-cached-for": f"{options.cache_seconds}s"}
    return policy


def exported_user() -> Manifest:
    """Part of a success: the caller's name, by which tokens are counted."""
    user_id = {"selector": f"{ANSWER}.username"}
    return {"filters": {"identity": {"json": {"properties": {"userid": user_id}}}}}


def metered_headers() -> Manifest:
    """Part of a success: what a call is counted under, for the filter that keeps it from models."""
    return {
        name.removeprefix("maas."): {
            "when": [{"selector": selector, "operator": "neq", "value": ""}],
            "key": SAID[name],
            "plain": {"selector": selector},
        }
        for name, selector in _METERED.items()
    }


def caller_rules(options: Options) -> Manifest:
    """Who may pass to maas-api itself: whose credential the callback calls valid, and who forges no identity."""
    return _rules(options, _callback(options), _VALID, _quoted(_NOT_PERMITTED))


def call_rules(options: Options, more: str = "", otherwise: str = "") -> Manifest:
    """Who may call models: the same, and the callback must allow the call. ``more`` is what its answer must be beside
    that, ``otherwise`` what a caller is told who fails by it."""
    message = _quoted(_error("permission_error", "not_permitted", otherwise) if otherwise else _NOT_PERMITTED)
    allowed = f"{_ALLOWED} && {more}" if more else _ALLOWED
    return _rules(options, _callback(options, CALL), allowed, f"(has({ANSWER}.refusal) ? {ANSWER}.refusal : {message})")


def _rules(options: Options, callback: Manifest, predicate: str, refused: str) -> Manifest:
    """``predicate``: what must hold of the callback's answer. ``refused``: what a known caller is told who fails."""
    predicate = f"{predicate} && {_NO_FORGED_IDENTITY} && {_KEY_WHERE_IT_BELONGS}"
    patterns = ([] if options.oidc is None else [_made_for_us(options.oidc)]) + [{"predicate": predicate}]
    return {
        "authentication": _authentication(options),
        "metadata": {CALLBACK: callback},
        "authorization": {"may-pass": {"patternMatching": {"patterns": patterns}}},
        "response": {
            "unauthenticated": _refusal({"content-type": {"value": "application/json"}}, {"value": _NO_CREDENTIAL}),
            "unauthorized": _refusal(
                {
                    "content-type": {"value": "application/json"},
                    # OpenAI's and Anthropic's SDKs heed it at any status: what could not be checked is no bad key.
                    "x-should-retry": {"expression": f'{_ANSWERED} ? "false" : "true"'},
                },
                {
                    "expression": f"{_ANSWERED} ? ({ANSWER}.valid == true ? {refused} : "
                    f"{_quoted(_BAD_CREDENTIAL)}) : {_quoted(_NOT_CHECKED)}"
                },
            ),
        },
    }


def sent_as(header: str) -> Manifest:
    """The pattern that is true where a request carries an API key in this header."""
    pattern = f"^Bearer {_KEY}$" if header == "authorization" else f"^{_KEY}$"
    return {"selector": f"request.headers.{header}", "operator": "matches", "value": pattern}


def _made_for_us(issuer: OidcIssuer) -> Manifest:
    """Authorino verifies signature, issuer and times, and neither for whom a token is nor who asked for it. Selectors,
    as they cost least; ``incl`` takes a text for a list of one."""

    def claim(name: str, value: str, operator: str = "eq") -> Manifest:
        return {"selector": f"{CREDENTIAL}.{name}", "operator": operator, "value": value}

    rules = [claim("iss", issuer.url), {"any": [claim("aud", audience, "incl") for audience in issuer.audiences]}]
    if issuer.parties:
        by_id = {"any": [claim("client_id", party) for party in issuer.parties]}
        named = [claim("azp", party) for party in issuer.parties]
        rules.append({"any": [*named, {"all": [claim("azp", ""), by_id]}]})
    return {"any": [claim("iss", ""), {"all": rules}]}  # a key, or a token that maas-api alone looks at, has no claims


def _authentication(options: Options) -> Manifest:
    """The first rule that finds a credential gives it. An API key counts before a platform token, and in the order of
    maas-api's own authorizer; what is reviewed as a token is so only where there is no key."""
    rules: Manifest = {}
    for priority, header in enumerate(CREDENTIAL_HEADERS):
        selector = f"request.headers.{header}" + (_AFTER_BEARER if header == "authorization" else "")
        rules[f"key-in-{header}"] = {"priority": priority, "when": [sent_as(header)], "plain": {"selector": selector}}
    token = {"selector": f"request.headers.authorization{_AFTER_BEARER}"}
    if options.oidc is not None:
        rules["issuer-token"] = {
            "priority": len(rules),
            "when": [_bearer(_JWT)],
            "jwt": {"issuerUrl": options.oidc.url, "ttl": _DISCOVERY_SECONDS},
            "overrides": {_TOKEN: token},
        }
    if options.token_audiences:
        rules["platform-token"] = {"priority": len(rules), "when": [_bearer(_PLATFORM)], "plain": token}
    return rules


def _bearer(pattern: str) -> Manifest:
    return {"selector": "request.headers.authorization", "operator": "matches", "value": f"^Bearer {pattern}$"}


def _callback(options: Options, call: Manifest | None = None) -> Manifest:
    """The question is the Go service's, which reads ``key`` and knows no tokens. The audiences that a platform token
    must be for are in the URL: by them this service knows that one may be asked about."""
    wanted = options.token_audiences or (() if options.oidc is None else options.oidc.audiences)
    audiences = urlencode([("audience", audience) for audience in wanted])
    key: Manifest = {"key": {"selector": CREDENTIAL}}
    if options.oidc is not None:
        key["token"] = {"selector": f"{CREDENTIAL}.{_TOKEN}"}
    http: Manifest = {
        "url": f"{options.callback_url}?{audiences}",
        "method": "POST",
        "contentType": "application/json",
        "bodyParameters": {**key, **(call or {})},
    }
    if options.internal_secret is not None:
        http["sharedSecretRef"] = {"name": options.internal_secret.name, "key": options.internal_secret.key}
        http["credentials"] = {"customHeader": {"name": "X-MaaS-Internal-Secret"}}
    callback: Manifest = {"http": http}
    seconds = options.cache_seconds
    if seconds:
        # Curly braces make a selector a template: several values without the cost of an expression.
        by = " ".join(f"{{{selector}}}" for selector in _ANSWERED_FOR) if call else CREDENTIAL
        callback["cache"] = {"key": {"selector": by}, "ttl": seconds}
    return callback


def _error(kind: str, code: str, message: str) -> str:
    """An error in the shape that both SDKs read."""
    error = {"message": message, "type": kind, "param": None, "code": code}
    return json.dumps({"type": "error", "error": error}, separators=(",", ":"))


def _quoted(text: str) -> str:
    """A string literal of CEL."""
    return json.dumps(text)


_NO_CREDENTIAL = _error(
    "authentication_error",
    "invalid_api_key",
    "Send Authorization: Bearer with an API key (sk-oai-...) or a platform token",
)
_BAD_CREDENTIAL = _error(
    "authentication_error",
    "invalid_api_key",
    "The credential is not accepted: an unknown, revoked or expired API key, or nobody's platform token",
)
_NOT_CHECKED = _error("api_error", "unavailable", "The credential could not be checked now; try again")
_NOT_PERMITTED = _error(
    "permission_error",
    "not_permitted",
    "Not permitted: headers that begin with x-maas- are the gateway's, and a key stands in its own header alone",
)


def _refusal(headers: Manifest, body: Manifest) -> Manifest:
    return {"code": 401, "headers": headers, "body": body}
