"""``POST /v1/messages`` and ``/v1/messages/count_tokens``: https://docs.anthropic.com/en/api/messages"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from maas_api.demo.simulators.anthropic.cache import Counted
from maas_api.demo.simulators.reply import Reply
from maas_api.demo.simulators.server import Events, Whole, event

STOP = {"done": "end_turn", "limit": "max_tokens", "call": "tool_use", "stop sequence": "stop_sequence"}
"""Why an answer ended, in Anthropic's words."""

Headers = tuple[tuple[str, str], ...]


class Answered(NamedTuple):
    """One answer: the model's name in it, what it says, how the input is counted, what the server adds to usage."""

    model: str
    reply: Reply
    counted: Counted
    usage_extra: Mapping[str, Any]
    identifier: str = ""

    @property
    def input_usage(self) -> dict[str, Any]:
        """The input's part of usage: what a cache gave or took is beside ``input_tokens``, not in it."""
        counted = self.counted
        usage: dict[str, Any] = {
            "input_tokens": counted.plain,
            "cache_creation_input_tokens": counted.written,
            "cache_read_input_tokens": counted.read,
        }
        if counted.written or counted.read:
            usage["cache_creation"] = {
                "ephemeral_5m_input_tokens": counted.written,
                "ephemeral_1h_input_tokens": 0,
            }
        return usage

    @property
    def output_usage(self) -> dict[str, Any]:
        """The output's part of usage: what was thought is in ``output_tokens``, and shown on its own."""
        usage: dict[str, Any] = {"output_tokens": self.reply.output_tokens}
        if self.reply.thought:
            usage["output_tokens_details"] = {"thinking_tokens": self.reply.thought}
        return usage


def respond(answered: Answered, body: Mapping[str, Any], headers: Headers = ()) -> Whole | Events:
    """A message, whole or streamed as the request says."""
    message = {
        "id": answered.identifier or f"msg_{uuid.uuid4().hex[:24]}",
        "type": "message",
        "role": "assistant",
        "model": answered.model,
    }
    blocks = _blocks(answered.reply)
    if body.get("stream"):
        return Events(_events(message, answered, blocks), headers)
    whole = {
        **message,
        "content": blocks,
        "stop_reason": STOP[answered.reply.ending],
        "stop_sequence": answered.reply.sequence,
        "usage": {**answered.input_usage, **answered.output_usage, **answered.usage_extra},
    }
    return Whole(200, whole, headers)


def _blocks(said: Reply) -> list[dict[str, Any]]:
    """The blocks of content: what was thought, where thinking is on, then a call or the text."""
    blocks: list[dict[str, Any]] = []
    if said.thought:
        blocks.append({"type": "thinking", "thinking": "Simulated.", "signature": "c2ltdWxhdGVk"})
    if said.call is not None:
        given = json.loads(said.call.arguments)
        blocks.append(
            {"type": "tool_use", "id": f"toolu_{uuid.uuid4().hex[:24]}", "name": said.call.name, "input": given}
        )
    elif said.tokens or not said.thought:
        blocks.append({"type": "text", "text": said.text})
    return blocks


def _events(message: Mapping[str, Any], answered: Answered, blocks: list[dict[str, Any]]) -> Iterator[bytes]:
    """The events of a streamed message, in the order of Anthropic's streaming reference."""

    def named(kind: str, **fields: Any) -> bytes:
        return event({"type": kind, **fields}, kind)

    usage = {**answered.input_usage, "output_tokens": 1}
    started = {**message, "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
    yield named("message_start", message=started)
    for index, block in enumerate(blocks):
        yield named("content_block_start", index=index, content_block=_empty(block))
        if index == 0:
            yield named("ping")
        for delta in _deltas(block, answered.reply):
            yield named("content_block_delta", index=index, delta=delta)
        yield named("content_block_stop", index=index)
    yield named(
        "message_delta",
        delta={"stop_reason": STOP[answered.reply.ending], "stop_sequence": answered.reply.sequence},
        usage=answered.output_usage,
    )
    yield named("message_stop")


def _empty(block: Mapping[str, Any]) -> dict[str, Any]:
    """A block before anything of it is known."""
    return {
        name: {"input": {}, "text": "", "thinking": "", "signature": ""}.get(name, value)
        for name, value in block.items()
    }


def _deltas(block: Mapping[str, Any], said: Reply) -> Iterator[dict[str, str]]:
    if block["type"] == "thinking":
        yield {"type": "thinking_delta", "thinking": block["thinking"]}
        yield {"type": "signature_delta", "signature": block["signature"]}
    elif said.call is not None:
        middle = len(said.call.arguments) // 2
        yield {"type": "input_json_delta", "partial_json": ""}
        yield {"type": "input_json_delta", "partial_json": said.call.arguments[:middle]}
        yield {"type": "input_json_delta", "partial_json": said.call.arguments[middle:]}
    else:
        yield from ({"type": "text_delta", "text": token} for token in said.tokens)
