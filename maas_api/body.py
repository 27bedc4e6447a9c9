"""Request bodies, read as the Go service's decoder reads them. Pure.

The content type is not looked at; object keys match whatever their case, the last of several counts; only the first
JSON value is read; ``null`` leaves a field as it is; invalid UTF-8 and lone surrogates become U+FFFD.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from itertools import islice
from typing import Any


class BodyError(ValueError):
    """A body that cannot be read. The message names the place and the rule."""


class Fields(list[tuple[str, Any]]):
    """A JSON object as received: pairs in order, repeated keys kept."""

    def folded(self, known: Iterable[str]) -> dict[str, Any]:
        """The fields by their known spelling. Unknown ones keep the spelling received; nulls are left out."""
        spelling = {name.lower(): name for name in known}
        return {spelling.get(key.lower(), key): value for key, value in self if value is not None}

    def mapping(self) -> dict[str, Any]:
        """The pairs as they are, for an object whose keys are data; nulls are kept."""
        return dict(self)


MARKS_AT_MOST = 4_000
"""Strings and punctuation marks of a body: more than fifty labels, fifty models and every filter take together."""

_MARKS = re.compile(rb'"(?:[^"\\]+|\\.)*+(?:"|\\?\Z)|[,:\[{]', re.DOTALL)


def marks_beyond(body: bytes, at_most: int) -> bool:
    """Whether JSON has more than ``at_most`` strings, commas, colons and opening brackets.

    Parsing takes time by their number, not by the length: of a megabyte of ``"":0,`` half a second, in which no other
    thread runs. Counting takes about 0.1 microseconds for each and ends at the limit.
    """
    return next(islice(_MARKS.finditer(body), at_most, None), None) is not None


DEPTH_AT_MOST = 100
"""Arrays and objects within each other. A bound of our own: how deep Python's parser goes depends on its version, and
what walks the value afterwards goes less deep."""

_BRACKETS = re.compile(rb'"(?:[^"\\]+|\\.)*+(?:"|\\?\Z)|[\[{\]}]', re.DOTALL)


def deeper_than(body: bytes, at_most: int) -> bool:
    """Whether JSON nests arrays and objects more than ``at_most`` deep. Reads what :func:`marks_beyond` bounded."""
    if body.count(b"[") + body.count(b"{") <= at_most:
        return False
    depth = 0
    for mark in _BRACKETS.finditer(body):
        if mark[0] in b"[{":
            depth += 1
            if depth > at_most:
                return True
        elif mark[0] in b"]}":
            depth -= 1
    return False


_LONE_SURROGATE = re.compile("[\\ud800-\\udfff]")
_decoder = json.JSONDecoder(object_pairs_hook=Fields, parse_constant=lambda name: _no_constant(name))


def _no_constant(name: str) -> Any:
    raise BodyError(f"body must be JSON, and JSON has no {name}")


def decode(body: bytes) -> Fields:
    """The object in a request's body; ``null`` counts as an empty object.

    Raises BodyError: what is wrong and where, for an empty body beginning with the Go service's ``EOF``.
    """
    if marks_beyond(body, MARKS_AT_MOST):
        raise BodyError(f"body must not have more than {MARKS_AT_MOST} strings and punctuation marks")
    if deeper_than(body, DEPTH_AT_MOST):
        raise BodyError(f"body must not have more than {DEPTH_AT_MOST} arrays and objects within each other")
    text = body.decode("utf-8", "replace").lstrip(" \t\r\n")
    if not text:
        raise BodyError("EOF: the body is empty, it must be a JSON object")
    try:
        value, _end = _decoder.raw_decode(text)
    except json.JSONDecodeError as fault:
        if fault.pos >= len(text.rstrip()):
            raise BodyError("unexpected EOF: body must be a complete JSON object") from None
        where = f"line {fault.lineno} column {fault.colno}"
        raise BodyError(f"body must be a JSON object: {fault.msg} at {where}") from None
    except BodyError:
        raise
    except ValueError:  # an integer of thousands of digits
        raise BodyError("body must be a JSON object with numbers of moderate length") from None
    if value is None:
        return Fields()
    if not isinstance(value, Fields):
        raise BodyError(f"body must be a JSON object, got {kind(value)}")
    cleaned = _clean(value) if "\\u" in text else value
    return cleaned if isinstance(cleaned, Fields) else value


def kind(value: Any) -> str:
    """A value's JSON type, for a message."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int | float):
        return "number"
    return "object" if isinstance(value, dict | Fields) else "array"


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return _LONE_SURROGATE.sub("\ufffd", value)
    if isinstance(value, Fields):
        return Fields((_clean(key), _clean(item)) for key, item in value)
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return value
