"""``POST /v1/completions``, the legacy endpoint: a prompt goes in, its continuation comes out."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from maas_api.demo.simulators.openai.chat import FINISH, Turn
from maas_api.demo.simulators.openai.chat_request import wants_usage
from maas_api.demo.simulators.openai.faults import require, stop_sequences, whole_number
from maas_api.demo.simulators.reply import Ask, Conversation, RefusedError
from maas_api.demo.simulators.server import Events, Whole, event


def read_completion(body: Mapping[str, Any]) -> Ask:
    """The question in a legacy completion's body. Raises RefusedError."""
    require(body, "model", "prompt")
    if not isinstance(body["prompt"], str | list):
        raise RefusedError("Invalid type for 'prompt': expected a string or an array.", "prompt")
    limit = whole_number(body, "max_tokens")
    return Ask(Conversation(str(body["prompt"])), limit=limit, stops=stop_sequences(body.get("stop"), "stop"))


def respond(turn: Turn, body: Mapping[str, Any]) -> Whole | Events:
    """A legacy completion, whole or streamed."""
    extra = turn.flavour.extra
    head = {"id": f"cmpl-{uuid.uuid4()}", "object": "text_completion", "created": int(time.time()), "model": turn.model}
    if body.get("stream"):
        return Events(_pieces({**head, **extra}, turn, with_usage=wants_usage(body)))
    made = [_choice(index, turn.reply.text, FINISH[turn.reply.ending]) for index in range(turn.choices)]
    return Whole(200, {**head, **extra, "choices": made, "usage": turn.usage})


def _choice(index: int, text: str, finish: str | None) -> dict[str, Any]:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish}


def _pieces(head: Mapping[str, Any], turn: Turn, *, with_usage: bool) -> Iterator[bytes]:
    unknown: dict[str, Any] = {"usage": None} if with_usage else {}
    for index in range(turn.choices):
        for token in turn.reply.tokens:
            yield event({**head, "choices": [_choice(index, token, None)], **unknown})
        yield event({**head, "choices": [_choice(index, "", FINISH[turn.reply.ending])], **unknown})
    if with_usage:
        yield event({**head, "choices": [], "usage": turn.usage})
    yield event("[DONE]")
