"""The simulators' sentences: always the same, cut into tokens the way the real services count them for the demo."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from maas_api.demo.simulators.server import Received


class Said(NamedTuple):
    """A reply cut at a token limit. ``tokens`` joined give the text; ``cut`` says whether the limit ended it."""

    tokens: tuple[str, ...]
    cut: bool

    @property
    def text(self) -> str:
        """The whole reply."""
        return "".join(self.tokens)


def tokens(text: str) -> tuple[str, ...]:
    """A word or a mark with the space before it is one token; space at the very end belongs to the last one."""
    return tuple(re.findall(r"\s*(?:\w+|[^\w\s])(?:\s+$)?", text))


def say(sentence: str, limit: int | None) -> Said:
    """The sentence, cut after ``limit`` tokens (None: not at all)."""
    every = tokens(sentence)
    if limit is None or limit >= len(every):
        return Said(every, cut=False)
    return Said(every[:limit], cut=True)


def content_tokens(message: dict[str, Any]) -> int:
    """Tokens in one message's content: a string, or a list of parts with ``text``."""
    content = message.get("content")
    if isinstance(content, str):
        return len(tokens(content))
    if isinstance(content, list):
        return sum(len(tokens(part["text"])) for part in content if isinstance(part, dict) and "text" in part)
    return 0


def json_object(request: Received) -> dict[str, Any] | None:
    """The request's body, or None where it is not a JSON object."""
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def is_messages(value: object) -> bool:
    """Whether a value is a non-empty list of chat messages."""
    return isinstance(value, list) and bool(value) and all(isinstance(m, dict) and "role" in m for m in value)


def is_count(value: object) -> bool:
    """Whether a value is a whole number of at least 1 (JSON true is not a number)."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
