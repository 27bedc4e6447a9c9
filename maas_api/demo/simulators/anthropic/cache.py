"""How Anthropic counts the input: plain, read from the prompt cache, written to it.

https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching: a prefix ends at a ``cache_control`` mark and must
have 1,024 tokens. Here, where nothing is remembered, what tools and system mark counts as read, and what messages mark
beyond it as written: so it is from the second turn of a conversation on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from maas_api.demo.simulators.pictures import ANTHROPIC_TOKENS
from maas_api.demo.simulators.words import content_tokens, count

FRAMING = 7
"""Input tokens around a conversation, as the real service counts a one-word message as eight."""

SHORTEST = 1024
"""Tokens of a prefix that is cached."""


class Counted(NamedTuple):
    """Input tokens: after the last mark, read from the cache, written to it. Together they are the whole input."""

    plain: int
    read: int
    written: int

    @property
    def total(self) -> int:
        """All of the input."""
        return self.plain + self.read + self.written


def counted(body: Mapping[str, Any]) -> Counted:
    """The input tokens of a message's body."""
    total, read, marked = FRAMING, 0, 0
    for tokens, mark, said in _pieces(body):
        total += tokens
        if mark:
            marked = total
            read = read if said else total
    if isinstance(body.get("cache_control"), dict):
        marked = total
    if marked < SHORTEST:
        return Counted(total, 0, 0)
    read = read if read >= SHORTEST else 0
    return Counted(total - marked, read, marked - read)


def _pieces(body: Mapping[str, Any]) -> Iterator[tuple[int, bool, bool]]:
    """In the order of the prompt: tokens of a piece, whether a mark ends it, whether it is part of the messages."""
    for tool in body.get("tools") or ():
        yield count(json.dumps(tool)), _marked(tool), False
    system = body.get("system")
    for block in system if isinstance(system, list) else [system]:
        yield content_tokens(block, ANTHROPIC_TOKENS), _marked(block), False
    for message in body["messages"]:
        content = message["content"]
        for block in content if isinstance(content, list) else [content]:
            yield content_tokens(block, ANTHROPIC_TOKENS), _marked(block), True


def _marked(piece: object) -> bool:
    return isinstance(piece, dict) and isinstance(piece.get("cache_control"), dict)
