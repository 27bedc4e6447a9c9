"""``POST /v1/chat/completions``: https://developers.openai.com/api/reference/resources/chat"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from maas_api.demo.simulators.openai.chat_request import wants_usage
from maas_api.demo.simulators.reply import Call, Reply
from maas_api.demo.simulators.server import Events, Whole, event

FINISH = {"done": "stop", "stop sequence": "stop", "limit": "length", "call": "tool_calls"}
"""Why an answer ended, in OpenAI's words."""


class Flavour(NamedTuple):
    """What one server adds: fields of the answer and of a message; whether usage says what was cached and thought."""

    extra: Mapping[str, Any]
    message_extra: Mapping[str, Any]
    details: bool


class Turn(NamedTuple):
    """One answer of ``choices`` equal choices: the model's name in it, what it says, tokens of the prompt."""

    model: str
    reply: Reply
    prompt_tokens: int
    cached_tokens: int
    choices: int
    flavour: Flavour

    @property
    def usage(self) -> dict[str, Any]:
        """Token counts. What was read from a cache is part of the prompt, what was thought part of the completion."""
        used = self.reply.output_tokens * self.choices
        counts: dict[str, Any] = {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": used,
            "total_tokens": self.prompt_tokens + used,
        }
        if self.flavour.details:
            thought = self.reply.thought * self.choices
            counts["prompt_tokens_details"] = {"cached_tokens": self.cached_tokens, "audio_tokens": 0}
            counts["completion_tokens_details"] = {"reasoning_tokens": thought, "audio_tokens": 0}
        return counts


def respond(turn: Turn, body: Mapping[str, Any]) -> Whole | Events:
    """A chat completion, whole or streamed as the request says."""
    kind = "chat.completion.chunk" if body.get("stream") else "chat.completion"
    head = {"id": f"chatcmpl-{uuid.uuid4()}", "object": kind, "created": int(time.time()), "model": turn.model}
    if body.get("stream"):
        return Events(_chunks({**head, **turn.flavour.extra}, turn, with_usage=wants_usage(body)))
    made = [
        {"index": index, "message": _message(turn), "logprobs": None, "finish_reason": FINISH[turn.reply.ending]}
        for index in range(turn.choices)
    ]
    return Whole(200, {**head, "choices": made, "usage": turn.usage, **turn.flavour.extra})


def _message(turn: Turn) -> dict[str, Any]:
    said = turn.reply
    message = {"role": "assistant", "content": None if said.call else said.text, **turn.flavour.message_extra}
    return {**message, "tool_calls": [_tool_call(said.call)]} if said.call else message


def _tool_call(call: Call) -> dict[str, Any]:
    identifier = f"call_{uuid.uuid4().hex[:24]}"
    if call.free:
        return {"id": identifier, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    return {"id": identifier, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _chunks(head: Mapping[str, Any], turn: Turn, *, with_usage: bool) -> Iterator[bytes]:
    unknown: dict[str, Any] = {"usage": None} if with_usage else {}

    def chunk(index: int, delta: Mapping[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return event({**head, "choices": [choice], **unknown})

    for index in range(turn.choices):
        content = None if turn.reply.call else ""
        yield chunk(index, {"role": "assistant", "content": content, **turn.flavour.message_extra})
        for delta in _deltas(turn.reply):
            yield chunk(index, delta)
        yield chunk(index, {}, FINISH[turn.reply.ending])
    if with_usage:
        yield event({**head, "choices": [], "usage": turn.usage})
    yield event("[DONE]")


def _deltas(said: Reply) -> Iterator[dict[str, Any]]:
    """The text token by token; of a call its name first, then its arguments in two pieces."""
    if said.call is None:
        yield from ({"content": token} for token in said.tokens)
        return
    whole = _tool_call(said.call)
    kind, field = ("custom", "input") if said.call.free else ("function", "arguments")
    yield {"tool_calls": [{"index": 0, **whole, kind: {**whole[kind], field: ""}}]}
    middle = len(said.call.arguments) // 2
    for piece in (said.call.arguments[:middle], said.call.arguments[middle:]):
        if piece:
            yield {"tool_calls": [{"index": 0, kind: {field: piece}}]}
