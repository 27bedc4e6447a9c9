"""What Authorino decides by an AuthPolicy, as far as these policies use it. Written from its source.

The rules that matter (pkg/service/auth_pipeline.go, pkg/expressions/cel, pkg/evaluators):

* identities are tried by ascending priority, the first success counts; none is 401;
* a condition that is false or cannot be evaluated skips its rule, be it identity, metadata, authorization or response;
* a callback's HTTP status is ignored: JSON is decoded where the content type says so, anything else is text, and a
  body that does not decode leaves the metadata absent;
* every authorization rule must hold, and one whose predicate cannot be evaluated does not;
* a response header that cannot be evaluated is left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import cel

Policy = Mapping[str, Any]
Callback = Callable[[Mapping[str, Any], str], tuple[str, bytes]]
"""(the callback's ``http`` section, the request's body) -> content type and body. An exception: it was not reached."""
Review = Callable[[str, list[str]], Mapping[str, Any] | None]
"""(token, audiences) -> the TokenReview's status when authenticated, or None."""


class Decision(NamedTuple):
    """What the gateway is told. ``headers`` are set on the request (200) or on the answer; ``exported`` is metadata."""

    status: int
    headers: dict[str, str]
    body: str
    exported: dict[str, Any]


class Authorino:
    """One AuthPolicy, in force.

    ``lean``: what the newest releases do, which leave out ``auth.metadata`` as a whole when it is empty.
    """

    def __init__(self, policy: Policy, callback: Callback, review: Review, *, lean: bool = False) -> None:
        self._rules = policy["spec"]["rules"]
        self._callback = callback
        self._review = review
        self._lean = lean

    def decide(self, headers: Mapping[str, str], path: str = "/") -> Decision:
        """The answer to one request; header names in lower case."""
        auth: dict[str, Any] = {} if self._lean else {"metadata": {}, "authorization": {}, "response": {}}
        state = {
            "auth": auth,
            "request": {"headers": dict(headers), "path": path, "url_path": path.partition("?")[0], "method": "POST"},
        }
        identity = self._identity(state)
        if identity is None:
            return self._denied("unauthenticated", state)
        auth["identity"] = identity
        for name, rule in self._rules.get("metadata", {}).items():
            if not _applies(rule, state):
                continue
            found = self._fetch(rule, state)
            if found is not None:
                auth.setdefault("metadata", {})[name] = found
        if not all(
            _holds(rule, state) for rule in self._rules.get("authorization", {}).values() if _applies(rule, state)
        ):
            return self._denied("unauthorized", state)
        return self._allowed(state)

    def _identity(self, state: dict[str, Any]) -> Any:
        rules = sorted(self._rules["authentication"].values(), key=lambda rule: rule.get("priority", 0))
        for rule in rules:
            if not _applies(rule, state):
                continue
            if "plain" in rule:
                found = _value(rule["plain"], state)
                if found is not None:
                    return found
            else:
                scheme, _, token = state["request"]["headers"].get("authorization", "").partition(" ")
                audiences = rule["kubernetesTokenReview"]["audiences"]
                found = self._review(token, audiences) if scheme == "Bearer" else None
                if found is not None:
                    return found
        return None

    def _fetch(self, rule: Mapping[str, Any], state: dict[str, Any]) -> Any:
        try:
            body = _value(rule["http"]["body"], state)
            content_type, reply = self._callback(rule["http"], json.dumps(body))
            if "application/json" not in content_type:
                return reply.decode()
            found = json.loads(reply)
        except Exception:
            return None
        return found if isinstance(found, dict) else None

    def _denied(self, which: str, state: dict[str, Any]) -> Decision:
        custom = self._rules["response"].get(which, {})
        status = custom.get("code", {"unauthenticated": 401, "unauthorized": 403}[which])
        headers = {name: str(_value(value, state)) for name, value in custom.get("headers", {}).items()}
        body = _value(custom["body"], state) if "body" in custom else ""
        return Decision(status, headers, str(body), {})

    def _allowed(self, state: dict[str, Any]) -> Decision:
        success = self._rules["response"].get("success", {})
        headers = {}
        for name, rule in success.get("headers", {}).items():
            if _applies(rule, state):
                value = _value(rule["plain"], state)
                if value is not None:
                    headers[rule.get("key", name)] = str(value)
        exported = {
            name: {key: _value(value, state) for key, value in rule["json"]["properties"].items()}
            for name, rule in success.get("filters", {}).items()
            if _applies(rule, state)
        }
        return Decision(200, headers, "", exported)


def _applies(rule: Mapping[str, Any], state: dict[str, Any]) -> bool:
    try:
        return all(_boolean(condition["predicate"], state) for condition in rule.get("when", ()))
    except Exception:
        return False


def _holds(rule: Mapping[str, Any], state: dict[str, Any]) -> bool:
    try:
        return all(_boolean(pattern["predicate"], state) for pattern in rule["patternMatching"]["patterns"])
    except Exception:
        return False


def _value(source: Mapping[str, Any], state: dict[str, Any]) -> Any:
    if "value" in source:
        return source["value"]
    if "selector" in source:
        return _selected(source["selector"], state)
    try:
        return evaluate(source["expression"], state)
    except Exception:
        return None


def _selected(path: str, state: dict[str, Any]) -> str | None:
    """A gjson path of plain names that ends in ``@tostr``: the value as JSON text, None where there is none."""
    *names, modifier = path.split(".")
    assert modifier == "@tostr", path
    found: Any = state
    for name in names:
        if not isinstance(found, Mapping) or name not in found:
            return None
        found = found[name]
    return json.dumps(found)


def _boolean(expression: str, state: dict[str, Any]) -> bool:
    found = evaluate(expression, state)
    if not isinstance(found, bool):
        raise TypeError(f"not a boolean: {expression}")
    return found


def evaluate(expression: str, state: dict[str, Any]) -> Any:
    """The value of a CEL expression, with the string extension that Authorino loads. Raises whatever goes wrong."""
    context = cel.Context(state)
    context.add_function("substring", lambda text, start: text[start:])
    return cel.evaluate(expression, context)
