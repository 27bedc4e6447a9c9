"""JSON types of the key endpoints' bodies, as marshmallow fields whose messages name what was received. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields

from maas_api import body
from maas_api.body import Fields, kind
from maas_api.keys.policy import PolicyError

Data = Mapping[str, Any] | None


class StrictSchema(Schema):
    """An object in which every field must be one that exists."""

    error_messages = {"unknown": "there is no such field"}  # noqa: RUF012 -- marshmallow declares it so

    class Meta:
        """Unknown fields are named."""

        unknown = RAISE


class Text(fields.Field[str]):
    """A JSON string."""

    def _deserialize(self, value: Any, attr: str | None, data: Data, **_more: Any) -> str:
        if not isinstance(value, str):
            raise ValidationError(f"must be a string, got {kind(value)}")
        return value


class Flag(fields.Field[bool]):
    """A JSON boolean, not something that looks like one."""

    def _deserialize(self, value: Any, attr: str | None, data: Data, **_more: Any) -> bool:
        if not isinstance(value, bool):
            raise ValidationError(f"must be true or false, got {kind(value)}")
        return value


class TextMap(fields.Field[dict[str, str]]):
    """A JSON object of strings. A null counts as the empty string, as in the Go service."""

    def _deserialize(self, value: Any, attr: str | None, data: Data, **_more: Any) -> dict[str, str]:
        if not isinstance(value, Fields):
            raise ValidationError(f"must be an object of strings, got {kind(value)}")
        for key, item in value:
            if item is not None and not isinstance(item, str):
                raise ValidationError(f"must be an object of strings, {key!r} is {kind(item)}")
        return {key: item or "" for key, item in value}


class Texts(fields.Field[list[str]]):
    """A JSON array of strings."""

    def _deserialize(self, value: Any, attr: str | None, data: Data, **_more: Any) -> list[str]:
        if not isinstance(value, list) or isinstance(value, Fields):
            raise ValidationError(f"must be an array of strings, got {kind(value)}")
        for item in value:
            if not isinstance(item, str):
                raise ValidationError(f"must be an array of strings, got {kind(item)} in it")
        return value


class PlainText(Text):
    """A JSON string without U+0000, for what is compared in the database, which cannot hold one."""

    def _deserialize(self, value: Any, attr: str | None, data: Data, **_more: Any) -> str:
        text = super()._deserialize(value, attr, data)
        if "\0" in text:
            raise ValidationError("must not contain U+0000")
        return text


class Whole(fields.Field[int]):
    """A JSON number without a fraction (``1.0`` is one, as JSON Schema has it), within 63 bits."""

    def _deserialize(self, value: Any, attr: str | None, data: Data, **_more: Any) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValidationError(f"must be a whole number, got {value if isinstance(value, float) else kind(value)}")
        if not -(2**63) <= value < 2**63:
            raise ValidationError("must fit 63 bits")
        return value


class Instant(fields.Field[datetime]):
    """A point in time as RFC 3339 text with an offset."""

    def _deserialize(self, value: Any, attr: str | None, data: Data, **_more: Any) -> datetime:
        if not isinstance(value, str):
            raise ValidationError(f"must be a time such as 2026-03-15T00:00:00Z, got {kind(value)}")
        with suppress(ValueError, OverflowError):
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is not None:
                return moment.astimezone(UTC)
        raise ValidationError(f"must be a time with an offset such as 2026-03-15T00:00:00Z, got {value[:40]!r}")


class Nested(fields.Field[dict[str, Any]]):
    """A JSON object with a schema of its own."""

    def __init__(self, schema: Schema) -> None:
        super().__init__(load_default=lambda: schema.load({}))
        self.schema = schema

    def _deserialize(self, value: Any, attr: str | None, data: Data, **_more: Any) -> dict[str, Any]:
        if not isinstance(value, Fields):
            raise ValidationError(f"must be an object, got {kind(value)}")
        return load_fields(self.schema, value, f"{attr}.")


def load(schema: Schema, raw: bytes) -> dict[str, Any]:
    """The checked fields of a body. Raises PolicyError naming the first field that is wrong, and the rule."""
    try:
        return load_fields(schema, body.decode(raw))
    except body.BodyError as fault:
        raise PolicyError(str(fault)) from None


def load_fields(schema: Schema, found: Fields, where: str = "") -> dict[str, Any]:
    """The checked fields of an object. ``where`` goes before their names in messages."""
    try:
        loaded: dict[str, Any] = schema.load(found.folded(schema.fields))
    except ValidationError as fault:
        name, problems = next(iter(fault.messages_dict.items()))
        hint = "" if name in schema.fields else _meant(name, schema.fields)
        raise PolicyError(f"{where}{name[:80]}: {problems[0]}{hint}") from None
    return loaded


def _meant(unknown: str, known: Iterable[str]) -> str:
    """The field that an unknown one may stand for, as ``expires_in`` for ``expiresIn``."""
    spelling = {name.lower(): name for name in known}
    near = difflib.get_close_matches(unknown[:80].lower().replace("_", "").replace("-", ""), spelling, 1, 0.7)
    return f"; did you mean {spelling[near[0]]!r}?" if near else ""
