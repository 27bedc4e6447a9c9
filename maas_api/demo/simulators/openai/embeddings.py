"""``POST /v1/embeddings``: a vector of length 1 for each input, drawn from a hash of it."""

from __future__ import annotations

import base64
import hashlib
import math
import struct
from collections.abc import Mapping
from typing import Any

from maas_api.demo.simulators.openai.faults import require, whole_number
from maas_api.demo.simulators.reply import RefusedError
from maas_api.demo.simulators.server import Whole
from maas_api.demo.simulators.words import count

DIMENSIONS = 1536
"""Of text-embedding-3-small, where fewer are not asked for."""

MOST_INPUTS = 2048


def respond(body: Mapping[str, Any], model: str, dimensions: int = DIMENSIONS) -> Whole:
    """The vectors, as numbers or as base64 of little-endian floats. Raises RefusedError."""
    inputs = _inputs(body)
    wanted = whole_number(body, "dimensions") or dimensions
    if wanted > dimensions:
        raise RefusedError(f"Invalid value for 'dimensions': expected at most {dimensions}.", "dimensions")
    form = body.get("encoding_format") or "float"
    if form not in {"float", "base64"}:
        raise RefusedError("Invalid value for 'encoding_format': expected float or base64.", "encoding_format")
    data = []
    for index, each in enumerate(inputs):
        found = vector(each, wanted)
        encoded = base64.b64encode(struct.pack(f"<{wanted}f", *found)).decode() if form == "base64" else found
        data.append({"object": "embedding", "index": index, "embedding": encoded})
    used = sum(count(each) if isinstance(each, str) else len(each) for each in inputs)
    usage = {"prompt_tokens": used, "total_tokens": used}
    return Whole(200, {"object": "list", "data": data, "model": model, "usage": usage})


def vector(text: str | list[int], dimensions: int) -> list[float]:
    """A vector of that many dimensions and of length 1, always the same for the same text."""
    drawn = hashlib.shake_256(str(text).encode("utf-8", "surrogatepass")).digest(2 * dimensions)
    raw = [number + 0.5 for number in struct.unpack(f"<{dimensions}h", drawn)]
    length = math.sqrt(sum(number * number for number in raw))
    return [number / length for number in raw]


def _inputs(body: Mapping[str, Any]) -> list[str | list[int]]:
    """What to embed: a text, token ids, or a list of either. Raises RefusedError."""
    require(body, "model", "input")
    given = body["input"]
    listed = given if isinstance(given, list) and given and not isinstance(given[0], int) else [given]
    if len(listed) > MOST_INPUTS:
        raise RefusedError(f"Invalid 'input': expected at most {MOST_INPUTS} entries.", "input")
    for each in listed:
        texts = isinstance(each, str)
        ids = isinstance(each, list) and all(isinstance(n, int) and not isinstance(n, bool) for n in each)
        if not each or not (texts or ids):
            raise RefusedError("Invalid 'input': expected non-empty strings or arrays of token ids.", "input")
    return listed
