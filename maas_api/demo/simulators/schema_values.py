"""The smallest value that a JSON Schema accepts, for the schemas that the real services take as an output format.

Covers what https://developers.openai.com/api/docs/guides/structured-outputs lists as supported, and the usual rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

DEPTH = 32
"""Deepest nesting followed. A schema that still demands more inside itself has no finite value."""

WORD = "simulated"

_FORMATS = {
    "date-time": "2026-03-14T06:53:57Z",
    "date": "2026-03-14",
    "time": "06:53:57Z",
    "duration": "P1D",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "11111111-1111-4111-8111-111111111111",
    "uri": "https://example.com/",
}

_REFUSED = ("pattern", "not", "if", "patternProperties", "dependentRequired", "dependentSchemas", "contains")
"""Keywords that constrain in ways this generator does not solve: refused where they decide, never ignored."""


class UnsupportedSchemaError(Exception):
    """No value can be made: the schema asks for something unsupported, or for nothing finite. Says what and where."""


def value_for(schema: Mapping[str, Any]) -> Any:
    """A value the schema accepts, always the same one. Raises UnsupportedSchemaError."""
    return _value(schema, schema, "#", 0)


def _value(schema: object, root: Mapping[str, Any], where: str, depth: int) -> Any:
    if depth > DEPTH:
        raise UnsupportedSchemaError(f"{where}: nested deeper than {DEPTH} levels")
    if schema is True or schema == {}:
        return WORD
    if not isinstance(schema, Mapping):
        raise UnsupportedSchemaError(f"{where}: expected a schema, got {schema!r:.40}")
    schema = _resolved(schema, root, where, depth)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return _first_of(schema["enum"], where)
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            return _branch(schema, keyword, root, where, depth)
    for keyword in _REFUSED:
        if keyword in schema:
            raise UnsupportedSchemaError(f"{where}: '{keyword}' is not supported")
    kind = _kind(schema)
    make = _MAKERS.get(kind)
    if make is None:
        raise UnsupportedSchemaError(f"{where}: unknown type {kind!r:.40}")
    return make(schema, root, where, depth)


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any], where: str, depth: int) -> Mapping[str, Any]:
    """The schema with its reference followed and its ``allOf`` folded in."""
    if "$ref" not in schema and "allOf" not in schema:
        return schema
    if depth > DEPTH:
        raise UnsupportedSchemaError(f"{where}: references lead nowhere")
    merged = {name: value for name, value in schema.items() if name not in {"$ref", "allOf"}}
    parts = [_target(schema["$ref"], root, where)] if "$ref" in schema else []
    for part in [*parts, *schema.get("allOf", [])]:
        _merge(merged, _resolved(part, root, where, depth + 1), where)
    return merged


def _target(reference: object, root: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    if not isinstance(reference, str) or not reference.startswith("#"):
        raise UnsupportedSchemaError(
            f"{where}: only references into the schema itself are supported, got {reference!r:.60}"
        )
    found: Any = root
    for step in filter(None, reference[1:].split("/")):
        name = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, Mapping) or name not in found:
            raise UnsupportedSchemaError(f"{where}: {reference} does not exist")
        found = found[name]
    if not isinstance(found, Mapping):
        raise UnsupportedSchemaError(f"{where}: {reference} is not a schema")
    return found


def _merge(into: dict[str, Any], part: Mapping[str, Any], where: str) -> None:
    for name, value in part.items():
        if name not in into or name in {"title", "description", "default", "examples"}:
            into[name] = value
        elif name == "properties":
            into[name] = {**value, **into[name]}
        elif name == "required":
            into[name] = [*into[name], *value]
        elif name.startswith("min"):
            into[name] = max(into[name], value)
        elif name.startswith("max"):
            into[name] = min(into[name], value)
        elif into[name] != value:
            raise UnsupportedSchemaError(f"{where}: 'allOf' or '$ref' says two things about '{name}'")


def _branch(schema: Mapping[str, Any], keyword: str, root: Mapping[str, Any], where: str, depth: int) -> Any:
    """The value of the first branch that has one, under the rules that stand beside the branches."""
    beside = {name: value for name, value in schema.items() if name != keyword}
    reasons = []
    for number, branch in enumerate(schema[keyword]):
        merged = dict(beside)
        try:
            if isinstance(branch, Mapping):
                _merge(merged, _resolved(branch, root, where, depth + 1), where)
            return _value(merged, root, f"{where}/{keyword}/{number}", depth + 1)
        except UnsupportedSchemaError as fault:
            reasons.append(str(fault))
    raise UnsupportedSchemaError(reasons[0] if reasons else f"{where}: '{keyword}' is empty")


def _first_of(values: object, where: str) -> Any:
    if not isinstance(values, list) or not values:
        raise UnsupportedSchemaError(f"{where}: 'enum' is empty")
    return values[0]


def _kind(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    if kind is not None:
        return str(kind)
    if "properties" in schema or "required" in schema:
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    if any(name in schema for name in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")):
        return "number"
    return "string"


def _object(schema: Mapping[str, Any], root: Mapping[str, Any], where: str, depth: int) -> dict[str, Any]:
    """Every property that is required; where none is, every property that has a value within the depth."""
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    other = schema.get("additionalProperties", True)
    made = {
        name: _value(properties.get(name, other), root, f"{where}/properties/{name}", depth + 1) for name in required
    }
    for number in range(len(made), schema.get("minProperties", 0)):
        name = next((each for each in properties if each not in made), f"{WORD}_{number}")
        made[name] = _value(properties.get(name, other), root, f"{where}/properties/{name}", depth + 1)
    return made


def _array(schema: Mapping[str, Any], root: Mapping[str, Any], where: str, depth: int) -> list[Any]:
    """As few items as are allowed, but one where that is possible: an empty list shows nothing."""
    prefix = schema.get("prefixItems", [])
    fewest, most = schema.get("minItems", 0), schema.get("maxItems", math.inf)
    made = [_value(each, root, f"{where}/prefixItems/{at}", depth + 1) for at, each in enumerate(prefix)]
    items = schema.get("items", True)
    if items is False:
        return made
    if not made and most >= 1 and fewest < 1:
        try:
            return [_value(items, root, f"{where}/items", depth + 1)]
        except UnsupportedSchemaError:  # it may stay empty: a tree ends in lists without children
            return []
    while len(made) < fewest:
        made.append(_value(items, root, f"{where}/items", depth + 1))
    return _distinct(made, items, root, where) if schema.get("uniqueItems") and len(made) > 1 else made


def _distinct(made: list[Any], items: object, root: Mapping[str, Any], where: str) -> list[Any]:
    """As many items, all different: members of an enumeration, or numbered numbers and words."""
    rule = _resolved(items, root, where, 0) if isinstance(items, Mapping) else {}
    if "enum" in rule and len(rule["enum"]) >= len(made):
        return list(rule["enum"][: len(made)])
    if all(isinstance(each, int) and not isinstance(each, bool) for each in made) and "maximum" not in rule:
        step = rule.get("multipleOf", 1)
        return [each + step * at for at, each in enumerate(made)]
    if all(isinstance(each, str) for each in made) and not {"maxLength", "format", "pattern"} & set(rule):
        return [f"{each}_{at}" for at, each in enumerate(made)]
    raise UnsupportedSchemaError(f"{where}: 'uniqueItems' is not supported for these items")


def _string(schema: Mapping[str, Any], _root: Mapping[str, Any], where: str, _depth: int) -> str:
    form = schema.get("format")
    if form is not None and form not in _FORMATS:
        raise UnsupportedSchemaError(f"{where}: format {form!r:.40} is not supported")
    fewest, most = schema.get("minLength", 0), schema.get("maxLength", math.inf)
    if fewest > most:
        raise UnsupportedSchemaError(f"{where}: minLength {fewest} is above maxLength {most}")
    if form is not None:
        if not fewest <= len(_FORMATS[form]) <= most:
            raise UnsupportedSchemaError(f"{where}: no {form} of that length is known")
        return _FORMATS[form]
    text = WORD * (1 + fewest // len(WORD)) if fewest > len(WORD) else WORD
    return text[: int(min(most, max(fewest, len(WORD))))]


def _number(schema: Mapping[str, Any], where: str, *, whole: bool) -> int | float:
    """The number nearest to 1 from below upwards that all bounds allow."""
    step = schema.get("multipleOf", 1 if whole else None)
    low, high = _bounds(schema)
    if step:
        first = math.ceil(low / step) * step if low > -math.inf else math.floor(min(high, 1) / step) * step
        if first == schema.get("exclusiveMinimum"):
            first += step
        if low == -math.inf and first == schema.get("exclusiveMaximum"):
            first -= step
    else:
        first = low if low > -math.inf else min(high, 1)
        if first in (schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")):
            first = (low + high) / 2 if -math.inf < low < high < math.inf else first + (1 if low > -math.inf else -1)
    if not low <= first <= high or (first == schema.get("exclusiveMaximum")):
        raise UnsupportedSchemaError(f"{where}: no number fits between {low} and {high}")
    return int(first) if whole else first


def _bounds(schema: Mapping[str, Any]) -> tuple[float, float]:
    low = max(schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf))
    return low, min(schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf))


_Maker = Callable[[Mapping[str, Any], Mapping[str, Any], str, int], Any]
_MAKERS: Mapping[str, _Maker] = {
    "object": _object,
    "array": _array,
    "string": _string,
    "integer": lambda schema, _root, where, _depth: _number(schema, where, whole=True),
    "number": lambda schema, _root, where, _depth: _number(schema, where, whole=False),
    "boolean": lambda *_: True,
    "null": lambda *_: None,
}
