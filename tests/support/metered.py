"""A model server that answers as it is told, and says exactly what each answer took."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from maas_api.demo.simulators.server import Events, Reaction, Received, Whole, event

Json = dict[str, Any]


class Wanted(NamedTuple):
    """An answer asked for: its dialect, whether streamed, and its numbers. ``told``: whether it says them."""

    kind: str
    stream: bool
    input: int
    output: int
    cached: int = 0
    written: int = 0
    reasoning: int = 0
    told: bool = True
    status: int = 200


PATHS = {
    "chat": "v1/chat/completions",
    "completions": "v1/completions",
    "responses": "v1/responses",
    "embeddings": "v1/embeddings",
    "messages": "v1/messages",
}


def wanted(rng: random.Random) -> Wanted:
    """Any answer that one of the dialects may give."""
    kind = rng.choice(tuple(PATHS))
    stream = kind != "embeddings" and rng.random() < 0.5
    given, output = rng.randrange(1, 200_000), 0 if kind == "embeddings" else rng.randrange(1, 9_000)
    cached = rng.randrange(0, given) if kind in ("chat", "responses", "messages") and rng.random() < 0.4 else 0
    written = rng.randrange(0, given - cached) if kind == "messages" and rng.random() < 0.3 else 0
    reasoning = rng.randrange(0, output) if kind in ("chat", "responses") and rng.random() < 0.3 else 0
    told = not (stream and kind in ("chat", "completions") and rng.random() < 0.4)
    status = rng.choice((400, 429, 500)) if rng.random() < 0.08 else 200
    return Wanted(kind, stream and status == 200, given, output, cached, written, reasoning, told, status)


def answer(request: Received) -> Reaction:
    """What the request's body asks for (``Wanted`` under ``wanted``); with ``as_asked`` a stream says its usage as
    OpenAI's do, where ``stream_options`` wants it."""
    body = json.loads(request.body)
    asked = Wanted(**body["wanted"])
    if body.get("as_asked"):
        asked = asked._replace(told=bool((body.get("stream_options") or {}).get("include_usage")))
    if asked.status != 200:
        return Whole(asked.status, {"error": {"message": "as asked", "type": "server_error"}})
    usage = _usage(asked) if asked.told else {}
    if not asked.stream:
        return Whole(200, {"id": "x", "text": "é" * 50, **({"usage": usage} if usage else {})})
    events = _events(asked, usage)
    return Events(_without_end(events) if body.get("endless") else events)


def _without_end(events: Iterator[bytes]) -> Iterator[bytes]:
    """The first event, and then others that say nothing, until the client has left."""
    yield next(events)
    while True:
        yield event({"choices": [{"delta": {"content": "word"}}], "usage": None})


def _usage(asked: Wanted) -> Json:
    if asked.kind == "embeddings":
        return {"prompt_tokens": asked.input, "total_tokens": asked.input}
    if asked.kind in ("chat", "completions"):
        return {
            "prompt_tokens": asked.input,
            "completion_tokens": asked.output,
            "total_tokens": asked.input + asked.output,
            "prompt_tokens_details": {"cached_tokens": asked.cached} if asked.cached else None,
            "completion_tokens_details": {"reasoning_tokens": asked.reasoning},
        }
    if asked.kind == "responses":
        return {
            "input_tokens": asked.input,
            "input_tokens_details": {"cached_tokens": asked.cached},
            "output_tokens": asked.output,
            "output_tokens_details": {"reasoning_tokens": asked.reasoning},
        }
    return {
        "input_tokens": asked.input - asked.cached - asked.written,
        "cache_read_input_tokens": asked.cached,
        "cache_creation_input_tokens": asked.written,
        "output_tokens": asked.output,
    }


def _events(asked: Wanted, usage: Mapping[str, Any]) -> Iterator[bytes]:
    words = [f"word {number} of a stream" for number in range(3)]
    if asked.kind == "messages":
        begun = {**usage, "output_tokens": 1}
        yield event({"type": "message_start", "message": {"id": "x", "usage": begun}}, "message_start")
        for word in words:
            yield event({"type": "content_block_delta", "delta": {"text": word}}, "content_block_delta")
        yield event({"type": "message_delta", "usage": {"output_tokens": asked.output}, "delta": {}}, "message_delta")
        yield event({"type": "message_stop"}, "message_stop")
        return
    if asked.kind == "responses":
        yield event({"type": "response.created", "response": {"id": "x", "usage": None}}, "response.created")
        for word in words:
            yield event({"type": "response.output_text.delta", "delta": word}, "response.output_text.delta")
        done = {"id": "x", "output": [{"text": " ".join(words) * 700}], "usage": usage}
        yield event({"type": "response.completed", "response": done}, "response.completed")
        return
    for word in words:
        yield event({"choices": [{"delta": {"content": word}}], "usage": None})
    if usage:
        yield event({"choices": [], "usage": usage})
    yield event("[DONE]")


def sums(asked: list[Wanted]) -> dict[str, Any]:
    """What calls come to."""
    good = [item for item in asked if item.status == 200 and item.told]
    return {
        "requests": len(asked),
        "errors": sum(item.status != 200 for item in asked),
        "interrupted": 0,
        "unmetered": sum(item.status == 200 and not item.told for item in asked),
        "inputTokens": sum(item.input for item in good),
        "cachedInputTokens": sum(item.cached for item in good),
        "cacheWriteTokens": sum(item.written for item in good),
        "outputTokens": sum(item.output for item in good),
        "reasoningTokens": sum(item.reasoning for item in good),
        "totalTokens": sum(item.input + item.output for item in good),
    }
