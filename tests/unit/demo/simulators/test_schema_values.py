"""Every value that is generated is accepted by a validator of its own; what cannot be generated is refused by name."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maas_api.demo.simulators.schema_values import UnsupportedSchemaError, value_for

TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            },
            "required": ["name", "children"],
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/node",
}
LIST = {
    "$defs": {
        "link": {
            "type": "object",
            "properties": {"next": {"anyOf": [{"$ref": "#/$defs/link"}, {"type": "null"}]}},
            "required": ["next"],
        }
    },
    "$ref": "#/$defs/link",
}
SCHEMAS: list[Any] = [
    {},
    {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False},
    {"type": "object", "required": ["undeclared"]},
    {"type": "object", "properties": {"a": {}, "b": {}}, "minProperties": 2},
    {"type": "object", "minProperties": 1, "additionalProperties": {"type": "integer"}},
    {"properties": {"a": {"const": 5}}, "required": ["a"]},
    {"type": ["null", "string"]},
    {"type": "null"},
    {"type": "boolean"},
    {"enum": ["x", 1, None]},
    {"type": "string", "minLength": 30},
    {"type": "string", "maxLength": 3},
    {"type": "string", "minLength": 4, "maxLength": 4},
    *[
        {"type": "string", "format": form}
        for form in ("date-time", "date", "time", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri")
    ],
    {"type": "array", "items": {"type": "number"}, "minItems": 3},
    {"type": "array", "maxItems": 0},
    {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False},
    {"type": "array", "items": {"enum": [1, 2, 3]}, "minItems": 3, "uniqueItems": True},
    {"type": "array", "items": {"type": "integer", "multipleOf": 3}, "minItems": 2, "uniqueItems": True},
    {"type": "array", "items": {"type": "string"}, "minItems": 2, "uniqueItems": True},
    {"items": {"type": "integer"}},
    {"anyOf": [{"type": "string", "pattern": "^a"}, {"type": "integer"}]},
    {"oneOf": [{"type": "string"}, {"type": "integer"}]},
    {"type": "object", "properties": {"a": {}}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
    {"allOf": [{"type": "integer", "minimum": 2}, {"minimum": 5, "maximum": 9}]},
    {"minimum": 3},
    TREE,
    LIST,
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_the_value_fits(schema: Any) -> None:
    found = value_for(schema)
    validator = jsonschema.Draft202012Validator
    validator.check_schema(schema)
    validator(schema, format_checker=validator.FORMAT_CHECKER).validate(found)
    assert value_for(schema) == found


numbers = st.integers(-50, 50) | st.floats(-50, 50, allow_nan=False).map(lambda n: round(n, 2))


@given(
    kind=st.sampled_from(["integer", "number"]),
    bounds=st.dictionaries(st.sampled_from(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]), numbers),
    step=st.none() | st.integers(1, 7),
)
def test_a_number_fits_its_bounds_or_is_refused(kind: str, bounds: dict[str, Any], step: int | None) -> None:
    schema = {"type": kind, **bounds, **({"multipleOf": step} if step else {})}
    try:
        found = value_for(schema)
    except UnsupportedSchemaError:
        low = max(bounds.get("minimum", -999), bounds.get("exclusiveMinimum", -999))
        high = min(bounds.get("maximum", 999), bounds.get("exclusiveMaximum", 999))
        assert high - low <= 2 * (step or 1), f"a number between {low} and {high} was not found"
        return
    jsonschema.validate(found, schema)


leaves = st.sampled_from(
    [{"type": "string"}, {"type": "integer"}, {"type": "boolean"}, {"type": "null"}, {"enum": ["a", "b"]}]
)


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    objects = st.dictionaries(st.text(max_size=8), inner, max_size=4).map(
        lambda properties: {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }
    )
    arrays = st.builds(
        lambda items, fewest: {"type": "array", "items": items, "minItems": fewest}, inner, st.integers(0, 3)
    )
    return objects | arrays | st.lists(inner, min_size=1, max_size=3).map(lambda branches: {"anyOf": branches})


@given(st.recursive(leaves, _nested, max_leaves=12))
def test_nested_schemas_are_obeyed(schema: Any) -> None:
    jsonschema.validate(value_for(schema), schema)


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "string", "pattern": "^x"}, "'pattern' is not supported"),
        ({"type": "string", "format": "iban"}, "format 'iban' is not supported"),
        ({"type": "string", "minLength": 5, "maxLength": 2}, "minLength 5 is above maxLength 2"),
        ({"type": "string", "format": "date", "maxLength": 3}, "no date of that length"),
        ({"type": "integer", "minimum": 5, "maximum": 4}, "no number fits"),
        ({"type": "matrix"}, "unknown type"),
        ({"enum": []}, "'enum' is empty"),
        ({"anyOf": []}, "'anyOf' is empty"),
        ({"$ref": "https://example.com/schema"}, "only references into the schema itself"),
        ({"$ref": "#/$defs/none"}, "does not exist"),
        ({"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}, "references lead nowhere"),
        ({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "nested deeper"),
        ({"type": "object", "properties": {"a": 5}, "required": ["a"]}, "expected a schema"),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 3, "uniqueItems": True}, "'uniqueItems'"),
        ({"allOf": [{"type": "string"}, {"type": "integer"}]}, "says two things about 'type'"),
    ],
)
def test_what_cannot_be_generated_is_named(schema: Any, reason: str) -> None:
    with pytest.raises(UnsupportedSchemaError, match=reason):
        value_for(schema)
