"""Words and their count: text is cut into tokens the way the real services count them for the demo."""

from __future__ import annotations

import json
import re
from typing import Any

from maas_api.demo.simulators.server import Received

COUNTED = 1 << 20
"""Characters of one text that are counted token by token. A longer text is estimated: a prompt of many megabytes shall
cost its reader no more than reading it."""

PER_TOKEN = 4
"""Characters to a token beyond that, OpenAI's rule of thumb for English."""

_TOKEN = re.compile(r"\w+|[^\w\s]")


def tokens(text: str) -> tuple[str, ...]:
    """A word or a mark with the space before it is one token; space at the very end belongs to the last one.

    Joined they are the text. Linear in its length, whatever it holds.
    """
    ends = [match.end() for match in _TOKEN.finditer(text)]
    if not ends:
        return ()
    ends[-1] = len(text)
    return tuple(text[start:end] for start, end in zip((0, *ends), ends, strict=False))


def count(text: str) -> int:
    """How many tokens a text has."""
    exact = sum(1 for _ in _TOKEN.finditer(text, 0, COUNTED))
    return exact + max(0, len(text) - COUNTED) // PER_TOKEN


def content_tokens(content: object, image: int) -> int:
    """Tokens of a message's content in any dialect: a string, or parts with ``text``, ``content`` or a picture.

    ``image``: what one picture counts.
    """
    if isinstance(content, str):
        return count(content)
    if isinstance(content, list):
        return sum(content_tokens(part, image) for part in content)
    if not isinstance(content, dict):
        return 0
    if content.get("type") in {"image", "image_url", "input_image"}:
        return image
    if content.get("type") in {"tool_use", "function_call"}:
        return count(json.dumps(content.get("input", content.get("arguments"))))
    return sum(content_tokens(content.get(name), image) for name in ("text", "content", "output", "arguments"))


def text_of(content: object) -> str:
    """The words of a message's content, those of its parts on lines of their own."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(filter(None, map(text_of, content)))
    if isinstance(content, dict):
        return text_of(content.get("text") or content.get("content") or "")
    return ""


def json_object(request: Received) -> dict[str, Any] | None:
    """The request's body, or None where it is not a JSON object."""
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def is_count(value: object) -> bool:
    """Whether a value is a whole number of at least 1 (JSON true is not a number)."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
