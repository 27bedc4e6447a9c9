"""Providers' usage objects, read into the same numbers whatever the dialect. Pure.

A usage object is told by its fields, so nobody needs to know which provider or endpoint it came from:

=====================  =========================================  ===================================================
dialect                input and output                           what else is said
=====================  =========================================  ===================================================
Chat, Completions      ``prompt_tokens``, ``completion_tokens``   cached and reasoning tokens are parts of the two
Embeddings             ``prompt_tokens``                          nothing is put out
Responses              ``input_tokens``, ``output_tokens``        cached and reasoning tokens are parts of the two
Messages               ``input_tokens``, ``output_tokens``        tokens read from and written to the cache stand
                                                                  **beside** ``input_tokens`` and are added to it
=====================  =========================================  ===================================================

Sources: OpenAI's API reference (``usage`` of each object), Anthropic's ("total input tokens in a request is the
summation of input_tokens, cache_creation_input_tokens, and cache_read_input_tokens"), DeepSeek's
(``prompt_cache_hit_tokens``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

CACHED: Final = (
    "prompt_tokens_details.cached_tokens",
    "input_tokens_details.cached_tokens",
    "cache_read_input_tokens",
    "prompt_cache_hit_tokens",
)
REASONING: Final = ("completion_tokens_details.reasoning_tokens", "output_tokens_details.reasoning_tokens")
WRITTEN: Final = "cache_creation_input_tokens"
BESIDE_INPUT: Final = ("cache_read_input_tokens", WRITTEN)
INPUT: Final = ("prompt_tokens", "input_tokens")
OUTPUT: Final = ("completion_tokens", "output_tokens")

FIELDS: Final = (*INPUT, *OUTPUT, *CACHED, *REASONING, WRITTEN)
"""Every path in a usage object that is read here, and so every one that a gateway must deliver."""

PLACES: Final = ("usage", "response.usage", "message.usage")
"""Where an answer, or an event of a stream, has its usage object: most of them; Responses' ``response.completed``;
Messages' ``message_start``. Later events of one stream replace what earlier ones said: Messages' counts are running
totals."""

_MOST: Final = 10**12  # of one call; beyond that it is not a count


class Tokens(NamedTuple):
    """What one call took. ``cached`` (read from the provider's cache) and ``written`` (written to it) are parts of
    ``input``, ``reasoning`` is a part of ``output``."""

    input: int
    output: int
    cached: int = 0
    written: int = 0
    reasoning: int = 0

    @property
    def total(self) -> int:
        """Input and output."""
        return self.input + self.output


def read(usage: Mapping[str, Any]) -> Tokens | None:
    """The numbers of a usage object, None where it holds none.

    Its inner objects may be nested or written as paths (``prompt_tokens_details.cached_tokens``); numbers may be text,
    as an access log prints them. A part is never more than what it is a part of.
    """
    said: dict[str, int] = {}
    _gather(usage, "", said)
    given, out = _first(said, INPUT), _first(said, OUTPUT)
    if given is None and out is None:
        return None
    whole = (given or 0) + (0 if "prompt_tokens" in said else sum(said.get(name, 0) for name in BESIDE_INPUT))
    output = out or 0
    cached = min(_first(said, CACHED) or 0, whole)
    return Tokens(
        whole,
        output,
        cached,
        min(said.get(WRITTEN, 0), whole - cached),
        min(_first(said, REASONING) or 0, output),
    )


def _first(said: Mapping[str, int], names: Iterable[str]) -> int | None:
    """The first of these that is said; the first that is not zero where several are."""
    found = None
    for name in names:
        value = said.get(name)
        if value:
            return value
        if value is not None:
            found = value
    return found


def _gather(usage: Mapping[str, Any], before: str, said: dict[str, int]) -> None:
    """Put every count of the object into ``said``, by its path."""
    for name, value in usage.items():
        if isinstance(value, Mapping):
            _gather(value, f"{before}{name}.", said)
        elif (count := whole(value)) is not None:
            said[before + name] = count


def whole(value: Any) -> int | None:
    """A count, as a number or as the text of one; None for everything else."""
    if isinstance(value, str):
        try:
            if value.isdigit():
                count = int(value)
                return count if count <= _MOST else None
            value = float(value)
        except ValueError:
            return None
    elif isinstance(value, bool):
        return None
    if isinstance(value, float):
        if not value.is_integer():  # neither are NaN and the infinities
            return None
        value = int(value)
    return value if isinstance(value, int) and 0 <= value <= _MOST else None
