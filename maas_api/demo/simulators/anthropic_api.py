"""A stand-in for api.anthropic.com: one key, one sentence, Anthropic's shapes, events and errors."""

from __future__ import annotations

import hmac
import uuid
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from maas_api.demo.simulators.server import Answer, Events, Received, Whole, event
from maas_api.demo.simulators.words import Said, content_tokens, is_count, is_messages, json_object, say, tokens

SENTENCE = "Hello! How are you doing today? Is there anything I can help you with?"

MODELS = {
    "claude-sonnet-4-20250514": ("Claude Sonnet 4", "2025-05-22T00:00:00Z"),
    "claude-3-5-haiku-20241022": ("Claude Haiku 3.5", "2024-10-22T00:00:00Z"),
}
"""Models it serves: display name and creation time."""

FRAMING = 7
"""Input tokens around a conversation, as the real service counts a one-word message as eight."""

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    405: "invalid_request_error",
}


def anthropic_api(key: str) -> Answer:
    """Answers like api.anthropic.com to whoever presents exactly ``key``."""
    routes: dict[tuple[str, str], Answer] = {
        ("POST", "/v1/messages"): _messages,
        ("POST", "/v1/messages/count_tokens"): _count,
        ("GET", "/v1/models"): lambda _: _models(),
    }

    def answer(request: Received) -> Whole | Events:
        refusal = _refuse(request, key)
        if refusal is not None:
            return refusal
        path = unquote(urlsplit(request.path).path)
        route = routes.get((request.method, path))
        if route is not None:
            return route(request)
        if request.method == "GET" and path.startswith("/v1/models/"):
            name = path.removeprefix("/v1/models/")
            return Whole(200, _model(name), _id_header()) if name in MODELS else _fault(404, f"model: {name}")
        if any(known == path for _, known in routes):
            return _fault(405, "Method Not Allowed")
        return _fault(404, "Not found")

    return answer


def _id_header() -> tuple[tuple[str, str], ...]:
    return (("request-id", f"req_{uuid.uuid4().hex[:24]}"),)


def _fault(status: int, message: str) -> Whole:
    headers = _id_header()
    error = {"type": _TYPES[status], "message": message}
    return Whole(status, {"type": "error", "error": error, "request_id": headers[0][1]}, headers)


def _refuse(request: Received, key: str) -> Whole | None:
    """The key is taken as ``x-api-key`` or, as the current SDK sends it, as a bearer token. A wrong one beside a right
    one is refused too: then a caller's own credential came through.
    """
    expected = {"x-api-key": key, "authorization": f"Bearer {key}"}
    presented = [(name, value) for name in expected if (value := request.header(name)) is not None]
    if not presented:
        return _fault(401, "x-api-key header is required")
    for name, value in presented:
        if not hmac.compare_digest(value.encode(), expected[name].encode()):
            return _fault(401, "invalid x-api-key" if name == "x-api-key" else "invalid bearer token")
    if request.header("anthropic-version") is None:
        return _fault(400, "anthropic-version: header is required")
    return None


def _model(name: str) -> dict[str, Any]:
    display, created = MODELS[name]
    return {"type": "model", "id": name, "display_name": display, "created_at": created}


def _models() -> Whole:
    names = list(MODELS)
    body = {"data": [_model(name) for name in names], "has_more": False, "first_id": names[0], "last_id": names[-1]}
    return Whole(200, body, _id_header())


def _conversation(request: Received, *required: str) -> dict[str, Any] | Whole:
    """The request's body, checked, or the refusal."""
    body = json_object(request)
    if body is None:
        return _fault(400, "The request body is not valid JSON: expected an object")
    for name in ("model", "messages", *required):
        if name not in body:
            return _fault(400, f"{name}: Field required")
    if not is_messages(body["messages"]):
        return _fault(400, "messages: at least one message is required")
    if "max_tokens" in body and not is_count(body["max_tokens"]):
        return _fault(400, "max_tokens: Input should be greater than or equal to 1")
    if body["model"] not in MODELS:
        return _fault(404, f"model: {body['model']}")
    return body


def _input_tokens(body: Mapping[str, Any]) -> int:
    system = body.get("system")
    return (
        FRAMING + sum(map(content_tokens, body["messages"])) + (len(tokens(system)) if isinstance(system, str) else 0)
    )


def _count(request: Received) -> Whole:
    body = _conversation(request)
    return body if isinstance(body, Whole) else Whole(200, {"input_tokens": _input_tokens(body)}, _id_header())


def _messages(request: Received) -> Whole | Events:
    body = _conversation(request, "max_tokens")
    if isinstance(body, Whole):
        return body
    said = say(SENTENCE, body["max_tokens"])
    usage = {"input_tokens": _input_tokens(body), "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    message = {
        "id": f"msg_{uuid.uuid4().hex[:24]}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
    }
    if body.get("stream"):
        return Events(_events(message, said, usage), _id_header())
    whole = {
        **message,
        "content": [{"type": "text", "text": said.text}],
        "stop_reason": _stop_reason(said),
        "stop_sequence": None,
        "usage": {**usage, "output_tokens": len(said.tokens), "service_tier": "standard"},
    }
    return Whole(200, whole, _id_header())


def _stop_reason(said: Said) -> str:
    return "max_tokens" if said.cut else "end_turn"


def _events(message: Mapping[str, Any], said: Said, usage: Mapping[str, Any]) -> Iterator[bytes]:
    """The events of a streamed message, in the order of Anthropic's streaming reference."""

    def named(kind: str, **fields: Any) -> bytes:
        return event({"type": kind, **fields}, kind)

    started = {
        **message,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**usage, "output_tokens": 1},
    }
    yield named("message_start", message=started)
    yield named("content_block_start", index=0, content_block={"type": "text", "text": ""})
    yield named("ping")
    for token in said.tokens:
        yield named("content_block_delta", index=0, delta={"type": "text_delta", "text": token})
    yield named("content_block_stop", index=0)
    yield named(
        "message_delta",
        delta={"stop_reason": _stop_reason(said), "stop_sequence": None},
        usage={"output_tokens": len(said.tokens)},
    )
    yield named("message_stop")
