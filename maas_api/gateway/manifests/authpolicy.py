"""Kuadrant's AuthPolicy of a provider: who may pass, in CEL, such that doubt is a no.

What Authorino does (read from its source) decides the form of the rules:

* a callback that fails is not fatal: its result is absent, and so may be ``auth.metadata`` as a whole;
* a condition (``when``) that cannot be evaluated skips its rule, and a skipped authorization rule lets pass. So no
  authorization rule has one; each is a predicate that is true for whom it does not concern;
* a predicate that cannot be evaluated denies;
* a selector compares text, and the text "true" equals the boolean. CEL tells them apart.
"""

from __future__ import annotations

import json

from maas_api.gateway.manifests.options import CACHE_SECONDS, Options, Target
from maas_api.gateway.manifests.resources import Manifest, on_route, resource, route_name

CALLBACK = "apiKeyValidation"
"""The callback's result, under ``auth.metadata``."""

_IN_AUTHORIZATION = (
    '("authorization" in request.headers && request.headers["authorization"].startsWith("Bearer sk-oai-"))'
)
_IN_X_API_KEY = '("x-api-key" in request.headers && request.headers["x-api-key"].startsWith("sk-oai-"))'
IS_KEY = f"({_IN_AUTHORIZATION} || {_IN_X_API_KEY})"
"""Whether the request carries an API key: where OpenAI's SDK puts it, or Anthropic's."""

KEY = f'({_IN_AUTHORIZATION} ? request.headers["authorization"].substring(7) : request.headers["x-api-key"])'
"""The key. Authorization comes first, as in maas-api's own authorizer. ``substring`` is of CEL's string extension,
which Authorino loads (its pull request 503)."""

_ANSWER = f"auth.metadata.{CALLBACK}"
_ANSWERED = f"has(auth.metadata) && has({_ANSWER})"
KEY_IS_VALID = f"({_ANSWERED} && has({_ANSWER}.valid) && {_ANSWER}.valid == true)"
_USER_IS_KNOWN = '(has(auth.identity.user) && has(auth.identity.user.username) && auth.identity.user.username != "")'

MAY_PASS = f"{IS_KEY} ? {KEY_IS_VALID} : {_USER_IS_KNOWN}"
"""A key needs the callback's ``valid: true``; anyone else a reviewed token. Absence of either denies."""

NO_FORGED_IDENTITY = '!request.headers.exists(name, name.startsWith("x-maas-") && name != "x-maas-subscription")'
"""Only a gateway says who a caller is. The subscription may be wished for; nothing on this route reads it."""

NOT_LIMITED = f'!{IS_KEY} || !({_ANSWERED} && has({_ANSWER}.models)) || {_ANSWER}.models.exists(m, m == "*")'
"""A key limited to certain models cannot be judged here, where no policy sees the request's body. maas-api's own
authorizer sees it."""

USER_ID = f"{IS_KEY} ? {_ANSWER}.username : auth.identity.user.username"
"""Whose tokens are counted."""


def auth_policy(options: Options, target: Target, key: str | None = None) -> Manifest:
    """The policy on the provider's route. ``key`` is the provider's own, written out: only where asked for."""
    success: Manifest = {"filters": {"identity": {"json": {"properties": {"userid": {"expression": USER_ID}}}}}}
    if key is not None:
        header, prefix = target.provider.credential_header, target.provider.credential_prefix
        success["headers"] = {header: {"plain": {"value": prefix + key}}}
    rules = caller_rules(options)
    rules["authorization"]["not-limited-to-models"] = _predicate(NOT_LIMITED)
    rules["response"]["success"] = success
    spec = {"targetRef": on_route(target), "rules": rules}
    policy = resource("kuadrant.io/v1", "AuthPolicy", f"{route_name(target)}-auth", options, target, spec=spec)
    policy["metadata"]["annotations"] = {"maas.opendatahub.io/revoked-within": f"{CACHE_SECONDS[options.cache]}s"}
    return policy


def caller_rules(options: Options) -> Manifest:
    """Who may pass, on any route: a key that the callback calls valid, or a reviewed token; no forged identity."""
    return {
        "authentication": _authentication(options),
        "metadata": {CALLBACK: _callback(options)},
        "authorization": {
            "key-or-user": _predicate(MAY_PASS),
            "no-forged-identity": _predicate(NO_FORGED_IDENTITY),
        },
        "response": {
            "unauthenticated": _refusal(_body("authentication_error", "invalid_api_key", _NO_CREDENTIAL)),
            "unauthorized": _refusal(_why()),
        },
    }


def _authentication(options: Options) -> Manifest:
    return {
        "api-keys": {
            "priority": 0,
            "when": [{"predicate": IS_KEY}],
            "plain": {"expression": KEY},
        },
        "platform-tokens": {
            "priority": 1,
            "when": [{"predicate": f"!{IS_KEY}"}],
            "kubernetesTokenReview": {"audiences": list(options.token_audiences)},
        },
    }


def _callback(options: Options) -> Manifest:
    http: Manifest = {
        "url": options.callback_url,
        "method": "POST",
        "contentType": "application/json",
        "body": {"expression": f'{{"key": {KEY}}}'},
    }
    if options.internal_secret is not None:
        http["sharedSecretRef"] = {"name": options.internal_secret.name, "key": options.internal_secret.key}
        http["credentials"] = {"customHeader": {"name": "X-MaaS-Internal-Secret"}}
    callback: Manifest = {"when": [{"predicate": IS_KEY}], "http": http}
    seconds = CACHE_SECONDS[options.cache]
    if seconds:
        callback["cache"] = {"key": {"expression": KEY}, "ttl": seconds}
    return callback


def _predicate(cel: str) -> Manifest:
    return {"patternMatching": {"patterns": [{"predicate": cel}]}}


_NO_CREDENTIAL = "Send Authorization: Bearer with an API key (sk-oai-...) or a platform token"
_BAD_KEY = "The API key is not accepted: it is unknown, revoked or expired, or could not be checked"
_NOT_PERMITTED = (
    "Not permitted: identity headers are the gateway's to set, and a key limited to models cannot call here"
)


def _why() -> Manifest:
    """Authorino has one status for every refusal, so that of the commonest is taken and the body tells them apart."""
    bad_key = _text("authentication_error", "invalid_api_key", _BAD_KEY)
    not_permitted = _text("permission_error", "not_permitted", _NOT_PERMITTED)
    cel = f"{IS_KEY} && !{KEY_IS_VALID} ? {json.dumps(bad_key)} : {json.dumps(not_permitted)}"
    return {"expression": cel}


def _body(kind: str, code: str, message: str) -> Manifest:
    return {"value": _text(kind, code, message)}


def _text(kind: str, code: str, message: str) -> str:
    """An error in the shape that both SDKs read."""
    error = {"message": message, "type": kind, "param": None, "code": code}
    return json.dumps({"type": "error", "error": error}, separators=(",", ":"))


def _refusal(body: Manifest) -> Manifest:
    return {"code": 401, "headers": {"content-type": {"value": "application/json"}}, "body": body}
