"""The events of a streamed response, in the order of OpenAI's streaming reference, numbered from 0."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from maas_api.demo.simulators.reply import Reply
from maas_api.demo.simulators.server import event

_CALLS = {
    "function_call": ("arguments", "response.function_call_arguments"),
    "custom_tool_call": ("input", "response.custom_tool_call_input"),
}
"""Type of an item that is a call -> the field with what is sent, the name of its events."""


def stream(
    begun: Mapping[str, Any], items: Sequence[Mapping[str, Any]], said: Reply, done: Mapping[str, Any]
) -> Iterator[bytes]:
    """Every event of a response: its begin, each item's, its end (``response.completed`` or ``.incomplete``)."""
    numbers = itertools.count()

    def named(kind: str, **fields: Any) -> bytes:
        return event({"type": kind, "sequence_number": next(numbers), **fields}, kind)

    yield named("response.created", response=begun)
    yield named("response.in_progress", response=begun)
    for index, item in enumerate(items):
        at = {"output_index": index, "item_id": item["id"]}
        if item["type"] == "message":
            pieces = _message(item, said)
        elif item["type"] in _CALLS:
            pieces = _call(item)
        else:
            pieces = iter(())
        yield named("response.output_item.added", output_index=index, item=_started(item))
        for kind, fields in pieces:
            yield named(kind, **at, **fields)
        yield named("response.output_item.done", output_index=index, item=item)
    yield named(f"response.{done['status']}", response=done)


_Pieces = Iterator[tuple[str, dict[str, Any]]]


def _started(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item before anything of it is known."""
    if item["type"] == "reasoning":
        return dict(item)
    field, empty = ("content", []) if item["type"] == "message" else (_CALLS[item["type"]][0], "")
    return {**item, "status": "in_progress", field: empty}


def _message(item: Mapping[str, Any], said: Reply) -> _Pieces:
    part = item["content"][0]
    yield "response.content_part.added", {"content_index": 0, "part": {**part, "text": ""}}
    for token in said.tokens:
        yield "response.output_text.delta", {"content_index": 0, "delta": token, "logprobs": []}
    yield "response.output_text.done", {"content_index": 0, "text": said.text, "logprobs": []}
    yield "response.content_part.done", {"content_index": 0, "part": part}


def _call(item: Mapping[str, Any]) -> _Pieces:
    field, kind = _CALLS[item["type"]]
    middle = len(item[field]) // 2
    for piece in filter(None, (item[field][:middle], item[field][middle:])):
        yield f"{kind}.delta", {"delta": piece}
    yield f"{kind}.done", {field: item[field]}
