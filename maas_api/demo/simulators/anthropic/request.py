"""What a message asks for. Broken rules are named as Anthropic does, with the field's path before the rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from maas_api.demo.simulators.pictures import check_encoded
from maas_api.demo.simulators.reply import Ask, Choice, Conversation, RefusedError, Tool
from maas_api.demo.simulators.words import is_count, text_of

_MODES: Mapping[object, Choice] = {"auto": Choice(), "any": Choice("required"), "none": Choice("none")}


def read_message(body: Mapping[str, Any], *required: str) -> Ask:
    """The question in a message's body; ``required``: what it must have beside those two. Raises RefusedError."""
    for name in ("model", "messages", *required):
        if body.get(name) is None:
            raise RefusedError(f"{name}: Field required", name)
    messages = body["messages"]
    if not isinstance(messages, list) or not messages:
        raise RefusedError("messages: at least one message is required", "messages")
    for at, message in enumerate(messages):
        _check_message(message, f"messages.{at}")
    limit = body.get("max_tokens")
    if limit is not None and not is_count(limit):
        raise RefusedError("max_tokens: Input should be greater than or equal to 1", "max_tokens")
    return Ask(
        conversation=_conversation(messages),
        tools=tuple(_tools(body)),
        choice=_choice(body.get("tool_choice")),
        schema=_schema(body),
        limit=limit,
        stops=_stops(body.get("stop_sequences")),
        thought=_thought(body.get("thinking"), limit),
    )


def _check_message(message: object, where: str) -> None:
    if not isinstance(message, dict) or not isinstance(message.get("content"), str | list):
        raise RefusedError(f"{where}: expected a role and a content, a string or an array of blocks", "messages")
    if message.get("role") not in {"user", "assistant", "system"}:
        raise RefusedError(f"{where}.role: Input should be 'user' or 'assistant'", "messages")
    for at, block in enumerate(message["content"] if isinstance(message["content"], list) else ()):
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            raise RefusedError(f"{where}.content.{at}.type: Field required", "messages")
        if block["type"] == "image":
            _check_image(block.get("source"), f"{where}.content.{at}.source")


def _check_image(source: object, where: str) -> None:
    match source:
        case {"type": "url", "url": str()} | {"type": "file", "file_id": str()}:
            return
        case {"type": "base64", "media_type": kind, "data": data}:
            try:
                check_encoded(kind, data, "messages")
            except RefusedError as fault:
                raise RefusedError(f"{where}.base64: {fault.message}", "messages") from None
        case _:
            raise RefusedError(f"{where}: expected base64 with media_type and data, a url or a file", "messages")


def _tools(body: Mapping[str, Any]) -> Iterator[Tool]:
    """The tools that the client runs. Those that Anthropic itself would run are never called here."""
    tools = body.get("tools") or []
    if not isinstance(tools, list):
        raise RefusedError("tools: Input should be a valid list", "tools")
    for at, tool in enumerate(tools):
        if not isinstance(tool, dict) or not isinstance(tool.get("name"), str | None):
            raise RefusedError(f"tools.{at}: Input should be a valid tool", "tools")
        if tool.get("type", "custom") != "custom":
            continue
        if not isinstance(tool.get("input_schema"), dict) or tool.get("name") is None:
            raise RefusedError(f"tools.{at}.custom.input_schema: Field required", "tools")
        yield Tool(tool["name"], tool["input_schema"])


def _choice(value: object) -> Choice:
    match value:
        case None:
            return Choice()
        case {"type": "auto" | "any" | "none" as mode}:
            return _MODES[mode]
        case {"type": "tool", "name": str() as name}:
            return Choice("required", (name,))
    raise RefusedError("tool_choice: expected a type of auto, any, none, or tool with a name", "tool_choice")


def _schema(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The schema of ``output_config.format``, or of ``output_format``, its name while it was in beta."""
    config = body.get("output_config") or {}
    wanted = (config.get("format") if isinstance(config, dict) else config) or body.get("output_format")
    match wanted:
        case None:
            return None
        case {"type": "json_schema", "schema": dict() as schema}:
            return schema
    raise RefusedError("output_config.format: expected a type of json_schema with a schema", "output_config")


def _stops(value: object) -> tuple[str, ...]:
    if value is not None and not (isinstance(value, list) and all(isinstance(each, str) for each in value)):
        raise RefusedError("stop_sequences: Input should be a valid list of strings", "stop_sequences")
    return tuple(value or ())


def _thought(thinking: object, limit: int | None) -> int:
    """Tokens to think, where thinking is enabled: a few, and never more than the budget."""
    match thinking:
        case {"type": "enabled", "budget_tokens": budget}:
            if not is_count(budget) or budget < 1024:
                raise RefusedError(
                    "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024", "thinking"
                )
            if limit is not None and budget >= limit:
                raise RefusedError("`max_tokens` must be greater than `thinking.budget_tokens`.", "max_tokens")
            return 16
    return 0


def _conversation(messages: Sequence[Mapping[str, Any]]) -> Conversation:
    """The user's last words are in the last of their messages that is not a tool's answer alone."""
    last, text = -1, ""
    for at, message in enumerate(messages):
        said = text_of([block for block in _blocks(message) if block.get("type") == "text"])
        if message["role"] == "user" and said:
            last, text = at, said
    since = [block for message in messages[max(last, 0) :] for block in _blocks(message)]
    turns = sum(message["role"] == "assistant" for message in messages)
    results = [text_of(block.get("content")) for block in since if block["type"] == "tool_result"]
    return Conversation(text, results[-1] if results else None, turns)


def _blocks(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content
