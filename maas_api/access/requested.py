"""Which one model a request would run. Pure; in doubt it is none that an allow-list could open."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from maas_api.body import marks_beyond
from maas_api.providers import Provider

JUDGED_BODY_BYTES = 1024 * 1024
"""How much of a request's body the gateway shows to the authorizer, to find the model's name."""


MARKS_JUDGED = 20_000
"""Strings and punctuation marks of a body in which the model is looked for: a long conversation with a hundred tools
has half of it. Parsing that takes about ten milliseconds, in which no other thread runs."""

_ALTERNATIVES = ("models", "fallbacks")
"""Fields in which OpenAI-compatible routers (OpenRouter, LiteLLM) take further models to run instead."""


class NotJudgeable(Exception):  # noqa: N818 - names the state, like LookupError
    """The request does not say plainly which one model it runs. The message tells the caller what to do."""

    def __init__(self, message: str, *, too_large: bool = False) -> None:
        super().__init__(message)
        self.too_large = too_large


def requested_model(provider: Provider, method: str, path: str, body: bytes, *, partial: bool) -> str:
    """The model that a request to ``path`` (relative to the provider's route, percent-decoded) runs.

    ``partial`` says that ``body`` is only the beginning. Raises NotJudgeable.
    """
    place = next((found for found in map(_matcher(path), provider.model_paths) if found is not None), None)
    if place is None or method != "POST":
        allowed = ", ".join(f"POST {provider.path_prefix}{item}" for item in provider.model_paths)
        raise NotJudgeable(f"this API key is limited to certain models and may use only {allowed}")
    return place or model_in_body(body, partial=partial)


def model_in_body(body: bytes, *, partial: bool) -> str:
    """The model that a JSON body names, where every parser finds the same one. Raises NotJudgeable.

    ``partial`` says that ``body`` is only the beginning. Envoy 1.40 leaves that unsaid when what it had received so
    far fills its buffer to the byte, so a body of that size counts as partial too.
    """
    if partial or len(body) >= JUDGED_BODY_BYTES:
        raise NotJudgeable(
            "this API key is limited to certain models, and the request is too large to find its model in it",
            too_large=True,
        )
    if marks_beyond(body, MARKS_JUDGED):
        raise NotJudgeable(
            "this API key is limited to certain models, and a body of more than "
            f"{MARKS_JUDGED} strings and punctuation marks is too large to find its model in it",
            too_large=True,
        )
    try:
        # Decoded here: json.loads would take UTF-16 as well, which a provider may read as something else.
        document = json.loads(body.decode("utf-8"), object_pairs_hook=_unambiguous)
    except (ValueError, RecursionError):
        raise NotJudgeable(
            "this API key is limited to certain models: the body must be plain JSON in which no name stands twice"
        ) from None
    if isinstance(document, dict) and any(name != "model" and name.casefold() == "model" for name in document):
        # To Go's parser it is the same name, and the last one counts.
        raise NotJudgeable("this API key is limited to certain models: 'model' must be written in lower case, once")
    if isinstance(document, dict) and (other := next((name for name in _ALTERNATIVES if document.get(name)), "")):
        raise NotJudgeable(f"this API key is limited to certain models, and {other!r} names more of them")
    model = document.get("model") if isinstance(document, dict) else None
    if not isinstance(model, str) or not model:
        raise NotJudgeable("this API key is limited to certain models: the body must name one in 'model'")
    return model


def _matcher(path: str) -> Callable[[str], str | None]:
    """A function: pattern -> the model the path names, ``""`` where the body does, None for another path."""

    def match(pattern: str) -> str | None:
        before, placeholder, after = pattern.partition("{model}")
        if not placeholder:
            return "" if path == pattern else None
        found = re.fullmatch(re.escape(before) + "([^/]+)" + re.escape(after), path)
        return found.group(1) if found else None

    return match


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Parsers disagree on which of two equal names counts; a provider's may not be ours."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found
