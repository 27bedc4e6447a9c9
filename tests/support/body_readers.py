"""What servers find under ``model`` in a body, in the ways of three languages' standard parsers.

Each takes the body's bytes as they arrived and gives the name, or raises ValueError where that server would refuse.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NoReturn

Pairs = list[tuple[str, Any]]
Reader = Callable[[bytes], str]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("model: not a string")  # noqa: TRY004 -- as the readers say of every body
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def python(body: bytes) -> str:
    """``json.loads`` on bytes, as Starlette's ``request.json()``: UTF-8, -16 or -32 by the look of it, NaN taken, the
    last of two names counts."""
    try:
        found = json.loads(body)
    except RecursionError:
        raise ValueError("too deep") from None
    return _text(found["model"] if isinstance(found, dict) and "model" in found else None)


def _one_byte(fault: UnicodeError) -> tuple[str, int]:
    assert isinstance(fault, UnicodeDecodeError)
    return "\ufffd", fault.start + 1


codecs.register_error("go", _one_byte)


class _Object(list[tuple[str, Any]]):
    """An object's pairs, which a list of lists is not."""


def go(body: bytes) -> str:
    """``json.NewDecoder(r).Decode(&struct{Model string})``: a name in any case, with the signs that fold to k and s;
    the last of several counts, null changes nothing; bytes that are no UTF-8 and half surrogates become U+FFFD; what
    follows the first value is not looked at."""
    text = body.decode("utf-8", "go").lstrip(" \t\r\n")
    decoder = json.JSONDecoder(object_pairs_hook=_Object, parse_constant=_no_constant)
    try:
        found, _ = decoder.raw_decode(text)
    except RecursionError:
        raise ValueError("too deep") from None
    if not isinstance(found, _Object):
        raise ValueError("not an object")  # noqa: TRY004 -- as the readers say of every body
    model = ""
    for name, value in found:
        if name.lower().replace("\u017f", "s").replace("\u212a", "k") == "model" and value is not None:
            model = _text(value)
    if not model:
        raise ValueError("model: is required")
    return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in model)


def javascript(body: bytes) -> str:
    """``JSON.parse(new TextDecoder().decode(body))``, as ``Response.json()``: a byte order mark is dropped, what is no
    UTF-8 becomes U+FFFD, the last of two names counts."""
    text = body.decode("utf-8", "replace").removeprefix("\ufeff")
    if text.strip(" \t\r\n") != text.strip():
        raise ValueError("space that JSON has not got")
    try:
        found = json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("too deep") from None
    return _text(found["model"] if isinstance(found, dict) and "model" in found else None)


READERS: Mapping[str, Reader] = MappingProxyType({"python": python, "go": go, "javascript": javascript})
"""Language -> how its servers read a body."""
