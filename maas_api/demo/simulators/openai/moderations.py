"""``POST /v1/moderations``: a text is flagged in the categories that it names."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from maas_api.demo.simulators.openai.faults import require
from maas_api.demo.simulators.pictures import check_picture
from maas_api.demo.simulators.reply import RefusedError
from maas_api.demo.simulators.server import Whole
from maas_api.demo.simulators.words import text_of

_TEXT, _BOTH = ("text",), ("text", "image")
CATEGORIES: Mapping[str, tuple[str, ...]] = {
    "harassment": _TEXT,
    "harassment/threatening": _TEXT,
    "hate": _TEXT,
    "hate/threatening": _TEXT,
    "illicit": _TEXT,
    "illicit/violent": _TEXT,
    "self-harm": _BOTH,
    "self-harm/instructions": _BOTH,
    "self-harm/intent": _BOTH,
    "sexual": _BOTH,
    "sexual/minors": _TEXT,
    "violence": _BOTH,
    "violence/graphic": _BOTH,
}
"""Category -> the kinds of input it is judged by."""


def respond(body: Mapping[str, Any], model: str) -> Whole:
    """One verdict for each text; parts of several kinds are judged together. Raises RefusedError."""
    require(body, "model", "input")
    given = body["input"]
    listed = given if isinstance(given, list) else [given]
    if not listed:
        raise RefusedError("Invalid 'input': expected at least one entry.", "input")
    if all(isinstance(each, str) for each in listed):
        results = [_verdict(each, {"text"}) for each in listed]
    else:
        results = [_verdict(text_of(listed), {_kind(part) for part in listed})]
    return Whole(200, {"id": f"modr-{uuid.uuid4().hex}", "model": model, "results": results})


def _kind(part: object) -> str:
    match part:
        case {"type": "text", "text": str()}:
            return "text"
        case {"type": "image_url", "image_url": {"url": url}}:
            check_picture(url, "input")
            return "image"
    raise RefusedError("Invalid 'input': expected strings, or parts of type text or image_url.", "input")


def _verdict(text: str, kinds: set[str]) -> dict[str, Any]:
    found = {name: name in text.lower() for name in CATEGORIES}
    return {
        "flagged": any(found.values()),
        "categories": found,
        "category_scores": {name: 0.99 if flagged else 0.0001 for name, flagged in found.items()},
        "category_applied_input_types": {
            name: [kind for kind in judged if kind in kinds] for name, judged in CATEGORIES.items()
        },
    }
