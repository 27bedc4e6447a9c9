"""Bodies held against the official SDKs' own types: every field there, of the right type, and none unknown.

The SDKs themselves read leniently, so that a client built with them may fail long after a wrong answer.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter

from maas_api.demo.simulators.server import Answer, Events, Received, Whole

T = TypeVar("T")


def post(answer: Answer, path: str, body: Any, *, key: str = "k", whole: bool = False) -> Any:
    """What a simulator answers to a POST with that key: a decoded JSON body, or the whole answer where that is wanted.

    Raises AssertionError where the answer is not a JSON body with status 200.
    """
    headers = (("Authorization", f"Bearer {key}"), ("anthropic-version", "2023-06-01"))
    given = answer(Received("POST", path, headers, json.dumps(body).encode(), None))
    if whole:
        return given
    assert isinstance(given, Whole)
    assert given.status == 200, given.body
    return json.loads(json.dumps(given.body))


def refused(answer: Answer, path: str, body: Any) -> tuple[int, Any]:
    """Status and ``error`` of a refusal."""
    given = post(answer, path, body, whole=True)
    assert isinstance(given, Whole)
    assert given.status >= 400
    return given.status, given.body["error"]


def events(answer: Answer, path: str, body: dict[str, Any]) -> list[tuple[str | None, Any]]:
    """The events of a stream: name and decoded data. ``[DONE]`` stays text."""
    given = post(answer, path, {**body, "stream": True}, whole=True)
    assert isinstance(given, Events), given
    read = []
    for block in b"".join(given.events).decode().strip().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n"))
        read.append((lines.get("event"), lines["data"] if lines["data"] == "[DONE]" else json.loads(lines["data"])))
    return read


def strictly(kind: type[T], data: Any, *, beyond: Collection[str] = ()) -> T:
    """The data as that type. ``beyond``: fields that the server adds to what the SDK knows.

    Raises pydantic.ValidationError, or AssertionError where a field is unknown.
    """
    parsed: T = _adapter(kind).validate_json(json.dumps(data), strict=True)
    unknown = set(_unknown(parsed)) - set(beyond)
    assert not unknown, f"{kind} does not know {unknown}"
    return parsed


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    """A type's reader, made once: that of a union of fifty events takes half a second."""
    return TypeAdapter(kind)


def _unknown(value: Any) -> Iterator[str]:
    if isinstance(value, BaseModel):
        yield from value.model_extra or ()
        for name in type(value).model_fields:
            yield from _unknown(getattr(value, name))
    elif isinstance(value, list):
        for each in value:
            yield from _unknown(each)
