"""Request bodies of the key endpoints: their shape, checked field by field. What the values may be is policy's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields

from maas_api.keys import body
from maas_api.keys.body import Fields, kind
from maas_api.keys.policy import PolicyError


class Text(fields.Field[str]):
    """A JSON string."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_more: Any) -> str:
        if not isinstance(value, str):
            raise ValidationError(f"must be a string, got {kind(value)}")
        return value


class Flag(fields.Field[bool]):
    """A JSON boolean, not something that looks like one."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_more: Any) -> bool:
        if not isinstance(value, bool):
            raise ValidationError(f"must be true or false, got {kind(value)}")
        return value


class TextMap(fields.Field[dict[str, str]]):
    """A JSON object of strings. A null counts as the empty string, as in the Go service."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_more: Any
    ) -> dict[str, str]:
        if not isinstance(value, Fields):
            raise ValidationError(f"must be an object of strings, got {kind(value)}")
        for key, item in value:
            if item is not None and not isinstance(item, str):
                raise ValidationError(f"must be an object of strings, {key!r} is {kind(item)}")
        return {key: item or "" for key, item in value}


class Texts(fields.Field[list[str]]):
    """A JSON array of strings."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_more: Any) -> list[str]:
        if not isinstance(value, list) or isinstance(value, Fields):
            raise ValidationError(f"must be an array of strings, got {kind(value)}")
        for item in value:
            if not isinstance(item, str):
                raise ValidationError(f"must be an array of strings, got {kind(item)} in it")
        return value


class MintBody(Schema):
    """``POST /v1/api-keys``."""

    class Meta:
        """The Go service ignores what it does not know."""

        unknown = EXCLUDE

    name = Text(load_default="")
    description = Text(load_default="")
    subscription = Text(load_default="")
    expiresIn = fields.Raw(load_default=None)  # noqa: N815 -- the wire's name
    ephemeral = Flag(load_default=False)
    labels = TextMap(load_default=dict)
    models = Texts(load_default=None)


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
        raise PolicyError(f"{where}{name}: {problems[0]}") from None
    return loaded
