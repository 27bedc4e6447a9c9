"""What a simulated model says: decided once from what was asked, whichever dialect asked it.

Always the same answer to the same question. A model that is asked in words says its sentence; one that must call a tool
calls it with arguments that fit the tool's schema; one that is given a schema answers a value that fits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from maas_api.demo.simulators.schema_values import UnsupportedSchemaError, value_for
from maas_api.demo.simulators.words import count, tokens

QUOTED = 300
"""Characters of a tool's answer that the model repeats, so that whoever sent it sees that it arrived."""

Ending = Literal["done", "limit", "call", "stop sequence"]


class RefusedError(Exception):
    """A request that breaks a rule of the service. ``param``: the field; ``code``: the service's word for the fault."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.message, self.param, self.code, self.status = message, param, code, status


class Tool(NamedTuple):
    """A tool the model may call. ``schema``: of its arguments; None for one that takes free text."""

    name: str
    schema: Mapping[str, Any] | None


class Choice(NamedTuple):
    """What the request says about tools: ``auto``, ``none`` or ``required``, and which of them (empty: any)."""

    mode: Literal["auto", "none", "required"] = "auto"
    names: tuple[str, ...] = ()


class Conversation(NamedTuple):
    """What was said so far: the user's last words, what tools answered since, how often the model has spoken in all."""

    text: str
    result: str | None = None
    turns: int = 0


class Ask(NamedTuple):
    """One question. ``limit``: most tokens of the answer; ``thought``: tokens the model thinks before it speaks."""

    conversation: Conversation
    tools: tuple[Tool, ...] = ()
    choice: Choice = Choice()
    schema: Mapping[str, Any] | None = None
    limit: int | None = None
    stops: tuple[str, ...] = ()
    thought: int = 0


class Call(NamedTuple):
    """A call of a tool. ``arguments`` is JSON, or whatever text where the tool takes ``free`` text."""

    name: str
    arguments: str
    free: bool = False


class Reply(NamedTuple):
    """What came out. ``tokens`` joined give the text; ``sequence``: the stop sequence that ended it."""

    tokens: tuple[str, ...]
    ending: Ending
    call: Call | None = None
    sequence: str | None = None
    thought: int = 0

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.tokens)

    @property
    def output_tokens(self) -> int:
        """Tokens that are billed: thought, said and called."""
        return self.thought + len(self.tokens) + (count(self.call.arguments) if self.call else 0)


def answer(ask: Ask, sentence: str) -> Reply:
    """The reply to a question; ``sentence`` is what the model says when nothing else is asked for.

    Raises RefusedError where a schema asks for what this model cannot generate, or the choice names no tool.
    """
    tool = _chosen(ask)
    if tool is not None:
        return Reply((), "call", _call(tool, ask.conversation.text), thought=ask.thought)
    text = sentence
    if ask.schema is not None:
        text = json.dumps(_generate(ask.schema, "response_format"), ensure_ascii=False)
    elif ask.conversation.result is not None:
        text = f"The tool said: {ask.conversation.result[:QUOTED]}"
    text, sequence = _stopped(text, ask.stops)
    every = tokens(text)
    if ask.limit is not None and ask.limit < ask.thought + len(every):
        return Reply(every[: max(0, ask.limit - ask.thought)], "limit", thought=min(ask.thought, ask.limit))
    return Reply(every, "stop sequence" if sequence else "done", sequence=sequence, thought=ask.thought)


def _chosen(ask: Ask) -> Tool | None:
    """The tool to call. One must be called: each in turn, the last one for good, so that an agent's loop comes to its
    end; agents that tell calls and answers as plain text come to it too.

    Otherwise only the one the user names by ``call <name>``, and only before a tool has answered.
    """
    unknown = set(ask.choice.names) - {tool.name for tool in ask.tools}
    if unknown:
        raise RefusedError(f"Tool choice {sorted(unknown)} not found in 'tools'.", "tool_choice")
    allowed = [tool for tool in ask.tools if not ask.choice.names or tool.name in ask.choice.names]
    if ask.choice.mode == "required":
        if not allowed:
            raise RefusedError("'tool_choice' is only allowed when 'tools' are specified.", "tool_choice")
        return allowed[min(ask.conversation.turns, len(allowed) - 1)]
    if ask.choice.mode == "none" or ask.conversation.result is not None:
        return None
    return next((tool for tool in allowed if _wish(tool.name).search(ask.conversation.text)), None)


def _wish(name: str) -> re.Pattern[str]:
    return re.compile(rf"\bcall {re.escape(name)}(?!\w)")


def _call(tool: Tool, text: str) -> Call:
    """A call with what the user wrote after ``call <name> with``, where that is JSON, else with generated arguments."""
    wish = re.search(rf"\bcall {re.escape(tool.name)} with ", text)
    said = text[wish.end() :] if wish else ""
    if tool.schema is None:
        return Call(tool.name, said or "simulated", free=True)
    try:
        given, _ = json.JSONDecoder().raw_decode(said)
    except ValueError:
        given = _generate(tool.schema, "tools")
    return Call(tool.name, json.dumps(given, ensure_ascii=False))


def _generate(schema: Mapping[str, Any], param: str) -> Any:
    try:
        return value_for(schema)
    except UnsupportedSchemaError as fault:
        raise RefusedError(f"Invalid schema: {fault}", param, "invalid_json_schema") from None


def _stopped(text: str, stops: Sequence[str]) -> tuple[str, str | None]:
    """The text before the first stop sequence in it, and that sequence."""
    found = [(at, stop) for stop in stops if stop and (at := text.find(stop)) >= 0]
    if not found:
        return text, None
    at, stop = min(found)
    return text[:at], stop
