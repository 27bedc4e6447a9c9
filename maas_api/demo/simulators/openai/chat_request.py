"""What a chat completion asks for: messages, tools, an output format, limits. Broken rules are named as OpenAI does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from maas_api.demo.simulators.openai.faults import require, stop_sequences, whole_number
from maas_api.demo.simulators.pictures import check_picture
from maas_api.demo.simulators.reply import Ask, Choice, Conversation, RefusedError, Tool
from maas_api.demo.simulators.words import text_of

JSON_OBJECT = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}
"""What a model answers that must answer JSON and was told no schema."""


def read_chat(body: Mapping[str, Any], *, formats: bool = True) -> Ask:
    """The question in a chat completion's body; ``formats``: whether an output format counts. Raises RefusedError."""
    require(body, "model", "messages")
    messages = body["messages"]
    if not is_messages(messages):
        raise RefusedError("Invalid 'messages': expected a non-empty array of objects with a 'role'.", "messages")
    for message in messages:
        for part in message["content"] if isinstance(message.get("content"), list) else ():
            _check_part(part)
    return Ask(
        conversation=_conversation(messages),
        tools=tuple(read_tool(tool, tool.get(str(tool.get("type")), {})) for tool in tool_list(body)),
        choice=read_choice(body.get("tool_choice")),
        schema=_schema(body.get("response_format")) if formats else None,
        limit=whole_number(body, "max_completion_tokens", "max_tokens"),
        stops=stop_sequences(body.get("stop"), "stop"),
    )


def wants_usage(body: Mapping[str, Any]) -> bool:
    """Whether a stream shall end with its usage."""
    options = body.get("stream_options")
    return isinstance(options, dict) and bool(options.get("include_usage"))


def is_messages(value: object) -> bool:
    """Whether a value is a non-empty list of chat messages."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(
            isinstance(m, dict)
            and isinstance(m.get("role"), str)
            and isinstance(m.get("content", ""), str | list | None)
            for m in value
        )
    )


def tool_list(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tools of a request. Raises RefusedError where they are not a list of objects."""
    tools = body.get("tools") or []
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise RefusedError("Invalid type for 'tools': expected an array of objects.", "tools")
    return tools


def read_tool(tool: Mapping[str, Any], said: object) -> Tool:
    """A tool from what is said of it: a ``function`` with a schema, a ``custom`` tool that takes text."""
    if not isinstance(said, Mapping) or not isinstance(said.get("name"), str):
        raise RefusedError("Missing required parameter: 'tools[].function.name'.", "tools")
    return Tool(said["name"], None if tool.get("type") == "custom" else said.get("parameters") or {"type": "object"})


def read_choice(value: object) -> Choice:
    """``tool_choice`` of chat completions and of responses: a word, one tool, or a list of those allowed."""
    match value:
        case None | "auto":
            return Choice()
        case "none":
            return Choice("none")
        case "required":
            return Choice("required")
        case {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}:
            return _allowed(mode, tools)
        case {"type": "allowed_tools", "mode": mode, "tools": tools}:
            return _allowed(mode, tools)
        case {"type": "function" | "custom" as kind, **rest}:
            inner = rest.get(kind, rest)
            if isinstance(inner, dict) and isinstance(inner.get("name"), str):
                return Choice("required", (inner["name"],))
    raise RefusedError("Invalid value for 'tool_choice'.", "tool_choice")


def _allowed(mode: object, tools: Sequence[Mapping[str, Any]]) -> Choice:
    names = tuple(str(tool.get("name") or tool.get(str(tool.get("type")), {}).get("name")) for tool in tools)
    return Choice("required" if mode == "required" else "auto", names)


def _schema(wanted: object) -> Mapping[str, Any] | None:
    match wanted:
        case None | {"type": "text"}:
            return None
        case {"type": "json_object"}:
            return JSON_OBJECT
        case {"type": "json_schema", "json_schema": {"name": str(), "schema": dict() as schema}}:
            return schema
    raise RefusedError(
        "Invalid value for 'response_format': expected text, json_object or a json_schema with a name.",
        "response_format",
    )


def _check_part(part: object) -> None:
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        raise RefusedError("Invalid 'messages': a part of a content needs a 'type'.", "messages")
    if part["type"] == "image_url":
        link = part.get("image_url")
        check_picture(link.get("url") if isinstance(link, dict) else None, "messages")


def _conversation(messages: Sequence[Mapping[str, Any]]) -> Conversation:
    last = max((at for at, message in enumerate(messages) if message["role"] == "user"), default=-1)
    since = messages[last + 1 :]
    turns = sum(message["role"] == "assistant" for message in messages)
    results = [text_of(message.get("content")) for message in since if message["role"] == "tool"]
    text = text_of(messages[last].get("content")) if last >= 0 else ""
    return Conversation(text, results[-1] if results else None, turns)
