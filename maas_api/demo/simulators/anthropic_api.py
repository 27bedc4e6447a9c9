"""A stand-in for api.anthropic.com: one key, one sentence, Anthropic's shapes, events and errors.

It also answers at ``/v1/chat/completions``, as https://docs.anthropic.com/en/api/openai-sdk describes: tools and
streams work, an output format is ignored, ``n`` must be 1, usage has no details.
"""

from __future__ import annotations

import hmac
import uuid
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from maas_api.demo.simulators.anthropic import messages
from maas_api.demo.simulators.anthropic.cache import FRAMING, counted
from maas_api.demo.simulators.anthropic.request import read_message
from maas_api.demo.simulators.openai import chat
from maas_api.demo.simulators.openai.chat_request import read_chat
from maas_api.demo.simulators.openai.faults import choices, fault
from maas_api.demo.simulators.pictures import ANTHROPIC_TOKENS
from maas_api.demo.simulators.reply import RefusedError, answer
from maas_api.demo.simulators.server import Answer, Reaction, Received, Whole
from maas_api.demo.simulators.words import content_tokens, json_object

SENTENCE = "Hello! How are you doing today? Is there anything I can help you with?"

UNKNOWN = "1970-01-01T00:00:00Z"
"""What the real service says where it does not tell when a model was released."""

MODELS = {
    "claude-sonnet-5-5": ("Claude Sonnet 5.5", UNKNOWN, "active", "sonnet"),
    "claude-haiku-5-5": ("Claude Haiku 5.5", UNKNOWN, "active", "haiku"),
    "claude-sonnet-4-20250514": ("Claude Sonnet 4", "2025-05-22T00:00:00Z", "deprecated", "sonnet"),
    "claude-3-5-haiku-20241022": ("Claude Haiku 3.5", "2024-10-22T00:00:00Z", "deprecated", "haiku"),
}
"""Models it serves: display name, creation time, stage of life, line."""

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    405: "invalid_request_error",
}

COMPATIBLE = "/v1/chat/completions"
"""The one path of OpenAI's dialect."""

Endpoint = Callable[[Mapping[str, Any]], Reaction]
Fault = Callable[[int, str], Whole]


def anthropic_api(key: str) -> Answer:
    """Answers like api.anthropic.com to whoever presents exactly ``key``."""
    posts: dict[str, Endpoint] = {"/v1/messages": _message, "/v1/messages/count_tokens": _count, COMPATIBLE: _chat}

    def respond(request: Received) -> Reaction:
        path = unquote(urlsplit(request.path).path)
        say = _openai_fault if path == COMPATIBLE else _fault
        refusal = _refuse(request, key, say, versioned=path != COMPATIBLE)
        if refusal is not None:
            return refusal
        if request.method == "POST" and path in posts:
            return _post(request, posts[path], say)
        if request.method == "GET" and path == "/v1/models":
            return _models()
        if request.method == "GET" and path.startswith("/v1/models/"):
            name = path.removeprefix("/v1/models/")
            return Whole(200, _model(name), _id_header()) if name in MODELS else _fault(404, f"model: {name}")
        if path in posts or path == "/v1/models":
            return say(405, "Method Not Allowed")
        return _fault(404, "Not found")

    return respond


def _id_header() -> tuple[tuple[str, str], ...]:
    return (("request-id", f"req_{uuid.uuid4().hex[:24]}"),)


def _fault(status: int, message: str) -> Whole:
    headers = _id_header()
    error = {"type": _TYPES[status], "message": message}
    return Whole(status, {"type": "error", "error": error, "request_id": headers[0][1]}, headers)


def _openai_fault(status: int, message: str) -> Whole:
    """The same fault as an OpenAI SDK reads it."""
    return fault(status, message, _TYPES[status], code=_TYPES[status])._replace(headers=_id_header())


def _refuse(request: Received, key: str, say: Fault, *, versioned: bool) -> Whole | None:
    """The key is taken as ``x-api-key`` or, as the current SDK sends it, as a bearer token. A wrong one beside a right
    one is refused too: then a caller's own credential came through.
    """
    expected = {"x-api-key": key, "authorization": f"Bearer {key}"}
    presented = [(name, value) for name in expected if (value := request.header(name)) is not None]
    if not presented:
        return say(401, "x-api-key header is required")
    for name, value in presented:
        if not hmac.compare_digest(value.encode(), expected[name].encode()):
            return say(401, "invalid x-api-key" if name == "x-api-key" else "invalid bearer token")
    if versioned and request.header("anthropic-version") is None:
        return say(400, "anthropic-version: header is required")
    return None


def _model(name: str) -> dict[str, Any]:
    display, created, stage, line = MODELS[name]
    known = {"type": "model", "id": name, "display_name": display, "created_at": created}
    return {**known, "lifecycle": stage, "line": line, "max_input_tokens": 200_000, "max_tokens": 64_000}


def _models() -> Whole:
    names = list(MODELS)
    body = {"data": [_model(name) for name in names], "has_more": False, "first_id": names[0], "last_id": names[-1]}
    return Whole(200, body, _id_header())


def _post(request: Received, endpoint: Endpoint, say: Fault) -> Reaction:
    body = json_object(request)
    if body is None:
        return say(400, "The request body is not valid JSON: expected an object")
    try:
        return endpoint(body)
    except RefusedError as refused:
        return say(refused.status, refused.message)


def _check_model(body: Mapping[str, Any]) -> None:
    if not isinstance(body["model"], str) or body["model"] not in MODELS:
        raise RefusedError(f"model: {body['model']}", "model", status=404)


def _count(body: Mapping[str, Any]) -> Whole:
    read_message(body)
    _check_model(body)
    return Whole(200, {"input_tokens": counted(body).total}, _id_header())


def _message(body: Mapping[str, Any]) -> Reaction:
    said = answer(read_message(body, "max_tokens"), SENTENCE)
    _check_model(body)
    answered = messages.Answered(body["model"], said, counted(body), {"service_tier": "standard"})
    return messages.respond(answered, body, _id_header())


def _chat(body: Mapping[str, Any]) -> Reaction:
    said = answer(read_chat(body, formats=False), SENTENCE)
    _check_model(body)
    if choices(body) != 1:
        raise RefusedError("n: Input should be 1", "n")
    prompt = FRAMING + sum(content_tokens(message, ANTHROPIC_TOKENS) for message in body["messages"])
    plain = chat.Flavour({}, {}, details=False)
    return chat.respond(chat.Turn(body["model"], said, prompt, 0, 1, plain), body)._replace(headers=_id_header())
