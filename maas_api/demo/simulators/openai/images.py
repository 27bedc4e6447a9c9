"""``POST /v1/images/generations``: a real PNG of the size that is asked for, in a colour drawn from the prompt."""

from __future__ import annotations

import base64
import hashlib
import struct
import time
import zlib
from collections.abc import Mapping
from typing import Any

from maas_api.demo.simulators.openai.faults import choices, require
from maas_api.demo.simulators.reply import RefusedError
from maas_api.demo.simulators.server import Whole
from maas_api.demo.simulators.words import count

SIZES = ("1024x1024", "1536x1024", "1024x1536")
QUALITIES = {"low": (272, 408), "medium": (1056, 1584), "high": (4160, 6240)}
"""Quality -> output tokens of a square picture and of another, by OpenAI's image pricing table."""


def respond(body: Mapping[str, Any]) -> Whole:
    """The pictures, as base64. Raises RefusedError, also for what is not drawn here: streams, other formats."""
    require(body, "model", "prompt")
    if not isinstance(body["prompt"], str):
        raise RefusedError("Invalid type for 'prompt': expected a string.", "prompt")
    size = _one_of(body, "size", SIZES)
    quality = _one_of(body, "quality", tuple(QUALITIES))
    _one_of(body, "output_format", ("png",))
    if body.get("stream"):
        raise RefusedError("This simulator does not stream pictures.", "stream")
    wanted = choices(body, most=10)
    encoded = base64.b64encode(png(body["prompt"], *map(int, size.split("x")))).decode()
    words = count(body["prompt"])
    drawn = QUALITIES[quality][size != SIZES[0]] * wanted
    answer = {
        "created": int(time.time()),
        "background": "opaque",
        "data": [{"b64_json": encoded}] * wanted,
        "output_format": "png",
        "quality": quality,
        "size": size,
        "usage": {
            "input_tokens": words,
            "input_tokens_details": {"text_tokens": words, "image_tokens": 0},
            "output_tokens": drawn,
            "output_tokens_details": {"text_tokens": 0, "image_tokens": drawn},
            "total_tokens": words + drawn,
        },
    }
    return Whole(200, answer)


def png(prompt: str, width: int, height: int) -> bytes:
    """A PNG of one colour."""
    colour = hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).digest()[:3]

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + colour * width) * height, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _one_of(body: Mapping[str, Any], name: str, accepted: tuple[str, ...]) -> str:
    """A parameter's value, the first accepted one where it is left out or ``auto``. Raises RefusedError."""
    value = body.get(name)
    if value is None or value == "auto":
        return accepted[0]
    if value not in accepted:
        raise RefusedError(f"Invalid value for '{name}': expected auto, {', '.join(accepted)}.", name, "invalid_value")
    return str(value)
