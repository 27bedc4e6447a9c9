"""``POST /v1/responses``: https://developers.openai.com/api/reference/resources/responses

Nothing is stored: every request brings its whole conversation, as Codex and the agents' SDKs send it by default.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

from maas_api.demo.simulators.openai.response_events import stream
from maas_api.demo.simulators.reply import Call, Reply
from maas_api.demo.simulators.server import Events, Whole


class Answered(NamedTuple):
    """What is answered: the model's name in it, what it says, tokens of the input and of those read from a cache."""

    model: str
    reply: Reply
    input_tokens: int
    cached_tokens: int


def respond(answered: Answered, body: Mapping[str, Any]) -> Whole | Events:
    """A response, whole or streamed as the request says."""
    begun = _response(answered, body)
    items = _items(answered.reply)
    cut = answered.reply.ending == "limit"
    done = {
        **begun,
        "status": "incomplete" if cut else "completed",
        "completed_at": None if cut else begun["created_at"],
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "output": items,
        "usage": _usage(answered),
    }
    return Events(stream(begun, items, answered.reply, done)) if body.get("stream") else Whole(200, done)


def _response(answered: Answered, body: Mapping[str, Any]) -> dict[str, Any]:
    """A response that has just begun: what was asked for, repeated, as the real service does."""

    def asked(name: str, otherwise: Any) -> Any:
        return otherwise if body.get(name) is None else body[name]

    text, reasoning = body.get("text") or {}, body.get("reasoning") or {}
    return {
        "id": f"resp_{uuid.uuid4().hex}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "in_progress",
        "background": False,
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "max_tool_calls": body.get("max_tool_calls"),
        "metadata": asked("metadata", {}),
        "model": answered.model,
        "output": [],
        "parallel_tool_calls": asked("parallel_tool_calls", True),
        "previous_response_id": None,
        "prompt_cache_key": body.get("prompt_cache_key"),
        "reasoning": {"effort": reasoning.get("effort"), "summary": None},
        "safety_identifier": body.get("safety_identifier"),
        "service_tier": "default",
        "store": asked("store", True),
        "temperature": asked("temperature", 1.0),
        "text": {"format": text.get("format") or {"type": "text"}, "verbosity": text.get("verbosity") or "medium"},
        "tool_choice": asked("tool_choice", "auto"),
        "tools": [_tool(tool) for tool in body.get("tools") or ()],
        "top_logprobs": 0,
        "top_p": asked("top_p", 1.0),
        "truncation": asked("truncation", "disabled"),
        "usage": None,
        "user": None,
    }


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    """A tool as it is repeated: of a function what was left out is filled in."""
    if tool.get("type") != "function":
        return dict(tool)
    return {"description": None, "parameters": {}, "strict": True, **tool}


def _usage(answered: Answered) -> dict[str, Any]:
    used = answered.reply.output_tokens
    return {
        "input_tokens": answered.input_tokens,
        "input_tokens_details": {"cached_tokens": answered.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": used,
        "output_tokens_details": {"reasoning_tokens": answered.reply.thought},
        "total_tokens": answered.input_tokens + used,
    }


def _items(said: Reply) -> list[dict[str, Any]]:
    """The output's items: what was thought, where the model thinks, then a call or a message."""
    thought: list[dict[str, Any]] = []
    if said.thought:
        thought = [{"id": f"rs_{uuid.uuid4().hex}", "type": "reasoning", "summary": []}]
    if said.call is not None:
        return [*thought, _call(said.call)]
    if said.thought and not said.tokens:  # the limit was reached before a word was said
        return thought
    part = {"type": "output_text", "text": said.text, "annotations": [], "logprobs": []}
    status = "incomplete" if said.ending == "limit" else "completed"
    message = {"id": f"msg_{uuid.uuid4().hex}", "type": "message", "role": "assistant", "status": status}
    return [*thought, {**message, "content": [part]}]


def _call(call: Call) -> dict[str, Any]:
    head = {"call_id": f"call_{uuid.uuid4().hex[:24]}", "name": call.name, "status": "completed"}
    if call.free:
        return {"id": f"ctc_{uuid.uuid4().hex}", "type": "custom_tool_call", **head, "input": call.arguments}
    return {"id": f"fc_{uuid.uuid4().hex}", "type": "function_call", **head, "arguments": call.arguments}
