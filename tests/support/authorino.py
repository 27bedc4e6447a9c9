"""What Authorino decides by an AuthPolicy, as far as these policies use it. Written from its source, and held to what a
real one did beside this service.

The rules that matter (pkg/service/auth_pipeline.go, pkg/expressions/cel, pkg/evaluators, pkg/json):

* identities are tried by ascending priority, the first success counts; none is 401;
* a condition that is false or cannot be evaluated skips its rule, be it identity, metadata, authorization or response;
* a callback's HTTP status is ignored: JSON is decoded where the content type says so, anything else is text, and a
  body that does not decode leaves the metadata absent;
* every authorization rule must hold, and one whose predicate cannot be evaluated does not;
* a response header that cannot be evaluated is left out, and one whose value is static is written as Go prints what
  the operator made of it: the bytes of its JSON, in a pair of braces;
* its cache takes no entry of more than 1,000 bytes, the key's and the encoded value's together, and says nothing;
* a shared secret goes into the header as the Secret has it; Go's client refuses a value with a line break in it;
* its Kubernetes client allows itself 20 TokenReviews a second, 30 at once: what is over that is no identity.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

import cel

Policy = Mapping[str, Any]


class Question(NamedTuple):
    """A callback as it goes over the wire."""

    url: str
    headers: Mapping[str, str]
    body: str


Callback = Callable[[Question], tuple[str, bytes]]
"""The question -> content type and body. An exception: it was not reached."""
Review = Callable[[str, list[str]], Mapping[str, Any] | None]
"""(token, audiences) -> the TokenReview's status when authenticated, or None."""
Verify = Callable[[str, str], Mapping[str, Any] | None]
"""(issuer, token) -> the claims of a token whose signature, issuer and times are right, or None. Not its audience."""

CACHED_BYTES = 1_000
REVIEWS_A_SECOND, REVIEWS_AT_ONCE = 20, 30


class Decision(NamedTuple):
    """What the gateway is told. ``headers`` are set on the request (200) or on the answer; ``exported`` is metadata;
    ``expressions`` is how many CEL expressions it took: each parses the whole authorization JSON again."""

    status: int
    headers: dict[str, str]
    body: str
    exported: dict[str, Any]
    expressions: int


class Authorino:
    """One AuthPolicy, in force.

    ``lean``: what the newest releases do, which leave out ``auth.metadata`` as a whole when it is empty.
    ``secrets``: ``name/key`` -> the value, as the Secret has it.
    """

    def __init__(
        self,
        policy: Policy,
        callback: Callback,
        review: Review | None = None,
        verify: Verify | None = None,
        *,
        lean: bool = False,
        secrets: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rules = policy["spec"]["rules"]
        self._callback = callback
        self._review = review
        self._verify = verify
        self._lean = lean
        self._secrets = secrets or {}
        self._clock = clock
        self._cached: dict[str, tuple[float, str]] = {}
        self._reviews = float(REVIEWS_AT_ONCE)
        self._refilled_at = clock()
        self._expressions = 0

    def decide(self, headers: Mapping[str, str], path: str = "/", method: str = "POST") -> Decision:
        """The answer to one request; header names in lower case."""
        self._expressions = 0
        auth: dict[str, Any] = {} if self._lean else {"metadata": {}, "authorization": {}, "response": {}}
        state = {
            "auth": auth,
            "request": {
                "headers": dict(headers),
                "path": path,
                "url_path": unquote(path.partition("?")[0]),
                "method": method,
            },
        }
        identity = self._identity(state)
        if identity is None:
            return self._denied("unauthenticated", state)
        auth["identity"] = identity
        for name, rule in self._rules.get("metadata", {}).items():
            if not self._applies(rule, state):
                continue
            found = self._metadata(rule, state)
            if found is not None:
                auth.setdefault("metadata", {})[name] = found
        rules = self._rules.get("authorization", {}).values()
        if not all(self._holds(rule, state) for rule in rules if self._applies(rule, state)):
            return self._denied("unauthorized", state)
        return self._allowed(state)

    # -- the phases

    def _identity(self, state: dict[str, Any]) -> Any:
        rules = sorted(self._rules["authentication"].values(), key=lambda rule: rule.get("priority", 0))
        for rule in rules:
            if not self._applies(rule, state):
                continue
            if "jwt" in rule:
                found = self._verified(rule, state)
            else:
                found = self._value(rule["plain"], state) if "plain" in rule else self._reviewed(rule, state)
            if found is not None:
                return found
        return None

    def _verified(self, rule: Mapping[str, Any], state: dict[str, Any]) -> Any:
        scheme, _, token = state["request"]["headers"].get("authorization", "").partition(" ")
        claims = None if scheme != "Bearer" or self._verify is None else self._verify(rule["jwt"]["issuerUrl"], token)
        if claims is None:
            return None
        return {**claims, **{name: self._value(value, state) for name, value in rule.get("overrides", {}).items()}}

    def _reviewed(self, rule: Mapping[str, Any], state: dict[str, Any]) -> Any:
        scheme, _, token = state["request"]["headers"].get("authorization", "").partition(" ")
        if scheme != "Bearer" or self._review is None:
            return None
        now = self._clock()
        self._reviews = min(REVIEWS_AT_ONCE, self._reviews + REVIEWS_A_SECOND * (now - self._refilled_at))
        self._refilled_at = now
        if self._reviews < 1:
            return None  # the client waits for its turn longer than the request lasts
        self._reviews -= 1
        return self._review(token, rule["kubernetesTokenReview"]["audiences"])

    def _metadata(self, rule: Mapping[str, Any], state: dict[str, Any]) -> Any:
        if "cache" not in rule:
            return self._fetch(rule["http"], state)
        key = str(self._value(rule["cache"]["key"], state))
        ends, text = self._cached.get(key, (0.0, ""))
        if self._clock() < ends:
            return json.loads(text)
        found = self._fetch(rule["http"], state)
        if found is not None:
            encoded = _marshal(found)
            if len(key.encode()) + len(encoded.encode()) <= CACHED_BYTES:
                self._cached[key] = (self._clock() + rule["cache"]["ttl"], encoded)
        return found

    def _fetch(self, http: Mapping[str, Any], state: dict[str, Any]) -> Any:
        try:
            content_type, reply = self._callback(self._question(http, state))
            if "application/json" not in content_type:
                return reply.decode()
            found = json.loads(reply)
        except Exception:
            return None
        return found if isinstance(found, dict) else None

    def _question(self, http: Mapping[str, Any], state: dict[str, Any]) -> Question:
        headers = {"content-type": http["contentType"]}
        if "sharedSecretRef" in http:
            reference = http["sharedSecretRef"]
            value = self._secrets[f"{reference['name']}/{reference['key']}"]
            if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
                raise ValueError("net/http: invalid header field value")
            headers[http["credentials"]["customHeader"]["name"].lower()] = value
        if "body" in http:
            body = self._value(http["body"], state)
        else:
            body = {name: self._value(value, state) for name, value in http["bodyParameters"].items()}
        return Question(http["url"], headers, _marshal(body))

    def _denied(self, which: str, state: dict[str, Any]) -> Decision:
        custom = self._rules["response"].get(which, {})
        status = custom.get("code", {"unauthenticated": 401, "unauthorized": 403}[which])
        headers = {name: self._value(value, state) for name, value in custom.get("headers", {}).items()}
        body = self._value(custom["body"], state) if "body" in custom else None
        written = {name: str(value) for name, value in headers.items() if value is not None}
        return Decision(status, written, "" if body is None else str(body), {}, self._expressions)

    def _allowed(self, state: dict[str, Any]) -> Decision:
        success = self._rules["response"].get("success", {})
        headers = {}
        for name, rule in success.get("headers", {}).items():
            if self._applies(rule, state):
                value = _go_print(rule["plain"]) if "value" in rule["plain"] else self._value(rule["plain"], state)
                if value is not None:
                    headers[rule.get("key", name)] = str(value)
        exported = {
            name: {key: self._value(value, state) for key, value in rule["json"]["properties"].items()}
            for name, rule in success.get("filters", {}).items()
            if self._applies(rule, state)
        }
        return Decision(200, headers, "", exported, self._expressions)

    # -- values and conditions

    def _applies(self, rule: Mapping[str, Any], state: dict[str, Any]) -> bool:
        try:
            return all(self._matches(condition, state) for condition in rule.get("when", ()))
        except Exception:
            return False

    def _holds(self, rule: Mapping[str, Any], state: dict[str, Any]) -> bool:
        try:
            return all(self._matches(pattern, state) for pattern in rule["patternMatching"]["patterns"])
        except Exception:
            return False

    def _matches(self, pattern: Mapping[str, Any], state: dict[str, Any]) -> bool:
        if "all" in pattern:
            return all(self._matches(item, state) for item in pattern["all"])
        if "any" in pattern:
            return any(self._matches(item, state) for item in pattern["any"])
        if "predicate" in pattern:
            found = self._evaluate(pattern["predicate"], state)
            if not isinstance(found, bool):
                raise TypeError(f"not a boolean: {pattern['predicate']}")
            return found
        found = _selected(pattern["selector"], state)
        text = _as_text(found)
        decide: dict[str, Callable[[], bool]] = {
            "eq": lambda: text == pattern["value"],
            "neq": lambda: text != pattern["value"],
            "incl": lambda: pattern["value"] in map(_as_text, found if isinstance(found, list) else [found]),
            "matches": lambda: re.search(pattern["value"], text, re.ASCII) is not None,
        }
        return decide[pattern["operator"]]()

    def _value(self, source: Mapping[str, Any], state: dict[str, Any]) -> Any:
        if "value" in source:
            return source["value"]
        if "selector" in source:
            return _selected(source["selector"], state)
        try:
            return self._evaluate(source["expression"], state)
        except Exception:
            return None

    def _evaluate(self, expression: str, state: dict[str, Any]) -> Any:
        """The value of a CEL expression, with the string extension that Authorino loads. Raises whatever goes wrong."""
        self._expressions += 1
        context = cel.Context(state)
        context.add_function("substring", lambda text, start: text[start:])
        return cel.evaluate(expression, context)


def _selected(path: str, state: dict[str, Any]) -> Any:
    """A gjson path of plain names, which may end in ``@tostr`` or ``@extract``; None where there is nothing. With
    curly braces that belong to no modifier it is a template, and what is in them are such paths (pkg/json)."""
    if len(re.findall(r"[^@]+@\w+:{", path)) != path.count("{"):
        return re.sub("{([^{}]+)}", lambda found: _as_text(_selected(found[1], state)), path)
    plain, at, modifier = path.partition(".@")
    found: Any = state
    for name in plain.split("."):
        if not isinstance(found, Mapping) or name not in found:
            return None
        found = found[name]
    if not at:
        return found
    name, _, argument = modifier.partition(":")
    if name == "tostr":
        return _marshal(found)
    assert name == "extract", path
    wanted = json.loads(argument)
    parts = _as_text(found).split(wanted["sep"])
    return parts[wanted["pos"]] if wanted["pos"] < len(parts) else None


def _as_text(value: Any) -> str:
    """A gjson result's ``String()``."""
    return "" if value is None else value if isinstance(value, str) else _marshal(value)


def _marshal(value: Any) -> str:
    """Go's ``json.Marshal``: no spaces, and ``<``, ``>``, ``&`` escaped."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def _go_print(static: Mapping[str, Any]) -> str:
    """``fmt.Sprintf("%v")`` of a ``runtime.RawExtension``: what a static header value becomes."""
    return "{[" + " ".join(str(byte) for byte in _marshal(static["value"]).encode()) + "] <nil>}"
