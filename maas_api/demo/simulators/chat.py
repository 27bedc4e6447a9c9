"""The OpenAI wire shapes that two simulators share: chat completions, legacy completions, the model list.

Fields and order follow OpenAI's API reference; ``extra`` carries what one server adds to its answers.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from maas_api.demo.simulators.server import Events, Whole, event
from maas_api.demo.simulators.words import Said, is_count, is_messages


class Turn(NamedTuple):
    """One completion: the model's name in the answer, what it says, tokens of the prompt, what the server adds."""

    model: str
    said: Said
    prompt_tokens: int
    extra: Mapping[str, Any]
    message_extra: Mapping[str, Any]
    usage_extra: Mapping[str, Any]

    @property
    def usage(self) -> dict[str, Any]:
        """Token counts."""
        used = len(self.said.tokens)
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": used,
            "total_tokens": self.prompt_tokens + used,
            **self.usage_extra,
        }

    @property
    def finish_reason(self) -> str:
        """Why the answer ended."""
        return "length" if self.said.cut else "stop"


def fault(status: int, message: str, kind: str, *, param: str | None = None, code: str | int | None = None) -> Whole:
    """OpenAI's error shape."""
    return Whole(status, {"error": {"message": message, "type": kind, "param": param, "code": code}})


def broken_rule(body: Mapping[str, Any], *, needs: str) -> tuple[str, str] | None:
    """The first broken rule of a request as (parameter, message), or None. ``needs``: ``messages`` or ``prompt``."""
    for name in ("model", needs):
        if name not in body:
            return name, f"Missing required parameter: '{name}'."
    if not isinstance(body["model"], str):
        return "model", "Invalid type for 'model': expected a string."
    if needs == "messages" and not is_messages(body["messages"]):
        return "messages", "Invalid 'messages': expected a non-empty array of objects with a 'role'."
    if needs == "prompt" and not isinstance(body["prompt"], str | list):
        return "prompt", "Invalid type for 'prompt': expected a string or an array."
    for name in ("max_tokens", "max_completion_tokens"):
        if body.get(name) is not None and not is_count(body[name]):
            return name, f"Invalid '{name}': expected an integer of at least 1."
    return None


def limit_of(body: Mapping[str, Any]) -> int | None:
    """The token limit a request sets, under its new or its old name."""
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    return int(limit) if limit is not None else None


def answer_chat(turn: Turn, body: Mapping[str, Any]) -> Whole | Events:
    """A chat completion, whole or streamed as the request says."""
    if body.get("stream"):
        return Events(_chat_events(turn, with_usage=bool((body.get("stream_options") or {}).get("include_usage"))))
    message = {"role": "assistant", "content": turn.said.text, **turn.message_extra}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": turn.finish_reason}
    head = {"id": _new_id("chatcmpl"), "object": "chat.completion", "created": int(time.time()), "model": turn.model}
    return Whole(200, {**head, "choices": [choice], "usage": turn.usage, **turn.extra})


def _chat_events(turn: Turn, *, with_usage: bool) -> Iterator[bytes]:
    head = {
        "id": _new_id("chatcmpl"),
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": turn.model,
        **turn.extra,
    }
    unknown: dict[str, Any] = {"usage": None} if with_usage else {}

    def chunk(delta: Mapping[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return event({**head, "choices": [choice], **unknown})

    yield chunk({"role": "assistant", "content": "", **turn.message_extra})
    for token in turn.said.tokens:
        yield chunk({"content": token})
    yield chunk({}, turn.finish_reason)
    if with_usage:
        yield event({**head, "choices": [], "usage": turn.usage})
    yield event("[DONE]")


def answer_legacy(turn: Turn, body: Mapping[str, Any]) -> Whole | Events:
    """A legacy completion, whole or streamed."""
    head = {
        "id": _new_id("cmpl"),
        "object": "text_completion",
        "created": int(time.time()),
        "model": turn.model,
        **turn.extra,
    }

    def choice(text: str, finish: str | None) -> dict[str, Any]:
        return {"text": text, "index": 0, "logprobs": None, "finish_reason": finish}

    def pieces() -> Iterator[bytes]:
        for token in turn.said.tokens:
            yield event({**head, "choices": [choice(token, None)]})
        yield event({**head, "choices": [choice("", turn.finish_reason)]})
        yield event("[DONE]")

    if body.get("stream"):
        return Events(pieces())
    return Whole(200, {**head, "choices": [choice(turn.said.text, turn.finish_reason)], "usage": turn.usage})


def model_list(models: Mapping[str, int], owner: str) -> Whole:
    """``GET /v1/models``: names with their creation times."""
    return Whole(200, {"object": "list", "data": [model_entry(name, models[name], owner) for name in models]})


def model_entry(name: str, created: int, owner: str) -> dict[str, Any]:
    """One model of the list."""
    return {"id": name, "object": "model", "created": created, "owned_by": owner}


def _new_id(kind: str) -> str:
    return f"{kind}-{uuid.uuid4()}"
