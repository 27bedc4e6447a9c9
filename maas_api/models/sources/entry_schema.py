"""One entry of the registry: its fields and their rules. Pure.

The messages are rules: they complete the sentence "<field> ...", and name what to do.
"""

from __future__ import annotations

import re
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from maas_api.models.sources.fields import timestamp
from maas_api.models.sources.price_schema import PRICES_MAX, PriceSchema
from maas_api.providers import NAME_RULE, is_name

MAX_ID = 256
MAX_ITEMS = 100


class Name(fields.String):
    """Text on one line: not blank, no space at its ends, no control characters."""

    def __init__(self, longest: int, **options: Any) -> None:
        super().__init__(**options)
        self._longest = longest

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> str:
        if not isinstance(value, str):
            raise ValidationError("must be text (quote it in YAML)")
        if not value.strip():
            raise ValidationError("must not be blank")
        if value != value.strip() or not value.isprintable():
            raise ValidationError("must have no space at its ends and no control characters")
        if len(value) > self._longest:
            raise ValidationError(f"must have at most {self._longest} characters")
        return value


class Text(fields.String):
    """Free text; blank counts as left out."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> str:
        if not isinstance(value, str):
            raise ValidationError("must be text (quote it in YAML)")
        if len(value) > 4096:
            raise ValidationError("must have at most 4096 characters")
        return value.strip()


class Provider(Name):
    """A provider's name. It becomes ``owned_by`` and, at the gateway, the path ``/external/<provider>/``."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> str:
        name = super()._deserialize(value, attr, data, **options)
        if not is_name(name):
            raise ValidationError(f"{NAME_RULE} (it becomes a path and a Service's name)")
        return name


class Address(Name):
    """An absolute http or https URL."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> str:
        url = super()._deserialize(value, attr, data, **options)
        if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", url):
            raise ValidationError("must be an http:// or https:// URL without user, query or fragment")
        return url


class Flag(fields.Boolean):
    """A YAML boolean; text that looks like one is not."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> bool:
        if not isinstance(value, bool):
            raise ValidationError("must be true or false, unquoted")
        return value


class Created(fields.Field[int]):
    """Unix seconds, or an RFC 3339 timestamp."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53:
            return value
        found = timestamp(value)
        if not found:
            raise ValidationError("must be unix seconds or a timestamp such as 2025-03-15T04:17:00Z")
        return found


class Window(fields.Field[str]):
    """A number of tokens, as a number or as text such as ``128k``."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> str:
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return str(value)
        if isinstance(value, str) and re.fullmatch(r"[1-9][0-9]{0,11}[kKmM]?", value.strip()):
            return value.strip()
        raise ValidationError("must be a number of tokens above 0, such as 128000 or 128k")


def _names(*, required_one: str = "") -> fields.List[str]:
    rules: list[validate.Validator] = [validate.Length(max=MAX_ITEMS, error=f"must have at most {MAX_ITEMS} items")]
    if required_one:
        rules.append(validate.Length(min=1, error=required_one))
    return fields.List(Name(MAX_ID), validate=rules, error_messages={"invalid": "must be a list"})


UNKNOWN = "is not a field of a registry entry"


class EntrySchema(Schema):
    """One item of the list. Its messages are rules: they complete the sentence "<field> ..."."""

    class Meta:
        """Options."""

        unknown = "raise"

    error_messages = {  # noqa: RUF012 -- marshmallow reads it from the class
        "unknown": UNKNOWN,
        "type": "must be a mapping with at least id and provider",
    }

    id = Name(MAX_ID, required=True)
    provider = Provider(MAX_ID, required=True)
    backend = Text()
    url = Address(2048)
    display_name = Text(data_key="displayName")
    description = Text()
    context_window = Window(data_key="contextWindow")
    max_input_tokens = Window(data_key="maxInputTokens")
    max_output_tokens = Window(data_key="maxOutputTokens")
    capabilities = _names()
    genai_use_case = Text(data_key="genaiUseCase")
    groups = _names(required_one="must name at least one group; leave the field out to show the model to everyone")
    ready = Flag()
    created = Created()
    aliases = _names()
    target_model = Name(MAX_ID, data_key="targetModel")
    prices = fields.List(
        fields.Nested(PriceSchema()),
        validate=validate.Length(max=PRICES_MAX, error=f"must have at most {PRICES_MAX} items"),
        error_messages={"invalid": "must be a list of prices"},
    )
