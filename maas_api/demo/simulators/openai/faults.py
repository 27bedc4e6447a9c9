"""OpenAI's error shape, and the rules that several of its endpoints share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from maas_api.demo.simulators.reply import RefusedError
from maas_api.demo.simulators.server import Whole
from maas_api.demo.simulators.words import is_count


def fault(status: int, message: str, kind: str, *, param: str | None = None, code: str | int | None = None) -> Whole:
    """OpenAI's error shape."""
    return Whole(status, {"error": {"message": message, "type": kind, "param": param, "code": code}})


def require(body: Mapping[str, Any], *names: str) -> None:
    """Raise RefusedError for the first required parameter that is missing, or a model that is not a string."""
    for name in names:
        if body.get(name) is None:
            raise RefusedError(f"Missing required parameter: '{name}'.", name)
    if not isinstance(body["model"], str):
        raise RefusedError("Invalid type for 'model': expected a string.", "model")


def whole_number(body: Mapping[str, Any], *names: str) -> int | None:
    """The value of the first of these parameters that is given. Raises RefusedError where one is no count."""
    found: int | None = None
    for name in names:
        value = body.get(name)
        if value is None:
            continue
        if not is_count(value):
            raise RefusedError(f"Invalid '{name}': expected an integer of at least 1.", name)
        found = int(value) if found is None else found
    return found


def choices(body: Mapping[str, Any], most: int = 128) -> int:
    """How many answers are asked for. Raises RefusedError."""
    wanted = whole_number(body, "n") or 1
    if wanted > most:
        raise RefusedError(f"Invalid 'n': expected an integer of at most {most}.", "n")
    return wanted


def stop_sequences(value: object, param: str) -> tuple[str, ...]:
    """Stop sequences: none, one, or a list. Raises RefusedError."""
    if value is None:
        return ()
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
        raise RefusedError(f"Invalid type for '{param}': expected a string or an array of strings.", param)
    return tuple(listed)
