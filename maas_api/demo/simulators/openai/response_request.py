"""What a response asks for: its input items, tools, output format and limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from maas_api.demo.simulators.openai.chat_request import JSON_OBJECT, read_choice, read_tool, tool_list
from maas_api.demo.simulators.openai.faults import require, whole_number
from maas_api.demo.simulators.pictures import check_picture
from maas_api.demo.simulators.reply import Ask, Conversation, RefusedError
from maas_api.demo.simulators.words import text_of

CALLS = ("function_call", "custom_tool_call")
RESULTS = ("function_call_output", "custom_tool_call_output")


def read_response(body: Mapping[str, Any]) -> Ask:
    """The question in a response's body. Raises RefusedError."""
    require(body, "model", "input")
    if body.get("previous_response_id") is not None:
        message = f"Previous response with id '{body['previous_response_id']}' not found."
        raise RefusedError(message, "previous_response_id", "previous_response_not_found")
    if not isinstance(body.get("reasoning") or {}, dict):
        raise RefusedError("Invalid type for 'reasoning': expected an object.", "reasoning")
    return Ask(
        conversation=_conversation(items_of(body)),
        # Tools that the service itself would run (web_search and the like) are never called here.
        tools=tuple(read_tool(tool, tool) for tool in tool_list(body) if tool.get("type") in {"function", "custom"}),
        choice=read_choice(body.get("tool_choice")),
        schema=_schema(body.get("text")),
        limit=whole_number(body, "max_output_tokens"),
    )


def items_of(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The input as items, a plain string being the user's message. Raises RefusedError."""
    items = body["input"]
    if isinstance(items, str):
        return [{"role": "user", "content": items}]
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        raise RefusedError("Invalid type for 'input': expected a string or a non-empty array of objects.", "input")
    for item in items:
        for part in item["content"] if isinstance(item.get("content"), list) else ():
            if isinstance(part, dict) and part.get("type") == "input_image" and part.get("file_id") is None:
                check_picture(part.get("image_url"), "input")
    return items


def _schema(text: object) -> Mapping[str, Any] | None:
    match text:
        case None | {"format": None | {"type": "text"}}:
            return None
        case {"format": {"type": "json_object"}}:
            return JSON_OBJECT
        case {"format": {"type": "json_schema", "name": str(), "schema": dict() as schema}}:
            return schema
        case {"format": _}:
            message = "Invalid value for 'text.format': expected text, json_object or a json_schema with a name."
            raise RefusedError(message, "text.format")
        case dict():
            return None
    raise RefusedError("Invalid type for 'text': expected an object.", "text")


def _conversation(items: Sequence[Mapping[str, Any]]) -> Conversation:
    last = max((at for at, item in enumerate(items) if item.get("role") == "user"), default=-1)
    since = items[last + 1 :]
    turns = sum(item.get("role") == "assistant" or item.get("type") in CALLS for item in items)
    results = [text_of(item.get("output")) for item in since if item.get("type") in RESULTS]
    text = text_of(items[last].get("content")) if last >= 0 else ""
    return Conversation(text, results[-1] if results else None, turns)
