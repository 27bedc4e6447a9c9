"""The platform's custom resource definitions, applied as an API server applies them: schema, defaults, CEL rules.

The definitions are read from the folder named by the environment variable ``MAAS_CRDS``; a test that needs them
skips, saying so, where it is unset (tests/README.md says where to get them). A field the schema does not know is an
error here (the API server would drop it, which in a manifest is a typing mistake).
"""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import cel
import jsonschema
import pytest
import yaml

Schema = dict[str, Any]

WITHOUT = "MAAS_CRDS does not name a folder of custom resource definitions"
"""Why a test was skipped that needs them."""


def folder() -> Path:
    """Where the definitions are. Skips the calling test where they are not."""
    where = os.environ.get("MAAS_CRDS", "")
    if not where:
        pytest.skip(WITHOUT)
    return Path(where)


def errors(manifest: Mapping[str, Any]) -> list[str]:
    """What the API server would say against a custom resource, empty when it takes it.

    Raises KeyError for a kind or version that no definition in the folder serves.
    """
    definition = _definitions(folder(), _group(manifest))[(manifest["apiVersion"], manifest["kind"])]
    found = [
        f"{fault.json_path}: {fault.message}"
        for fault in jsonschema.Draft202012Validator(definition.strict).iter_errors(manifest)
    ]
    # Like the API server: rules are for what the schema allows, with the defaults filled in.
    return sorted(found) or list(_broken_rules(definition.raw, defaulted(definition.raw, manifest), "$"))


def knows(manifest: Mapping[str, Any]) -> bool:
    """Whether the folder holds a definition for this manifest's kind and version."""
    return (manifest["apiVersion"], manifest["kind"]) in _definitions(folder(), _group(manifest))


def _group(manifest: Mapping[str, Any]) -> str:
    return str(manifest["apiVersion"]).partition("/")[0]


class Definition(NamedTuple):
    """The schema of one served version: as it is in the definition, and as plain JSON Schema that refuses unknowns."""

    raw: Schema
    strict: Schema


@functools.cache
def _definitions(where: Path, group: str) -> dict[tuple[str, str], Definition]:
    """The definitions of one API group (files are named ``<group>_<plural>.yaml``): some take a second to read."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found: dict[tuple[str, str], Definition] = {}
    for path in sorted(where.glob(f"{group}_*.yaml")):
        for document in yaml.load_all(path.read_text(), loader):
            spec = (document or {}).get("spec", {})
            for version in spec.get("versions", ()):
                if not version.get("served", True):
                    continue
                raw = version["schema"]["openAPIV3Schema"]
                closed = strict(raw)
                closed["required"] = sorted({*closed.get("required", ()), "apiVersion", "kind", "metadata"})
                closed["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": _METADATA}  # some leave them out
                found[(f"{spec['group']}/{version['name']}", spec["names"]["kind"])] = Definition(raw, closed)
    return found


_METADATA: Schema = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"},
        "namespace": {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"},
        "labels": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 63}},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
        "finalizers": {"type": "array", "items": {"type": "string"}},
        "ownerReferences": {"type": "array", "items": {"type": "object"}},
        **{key: {"type": "string"} for key in ("creationTimestamp", "deletionTimestamp", "resourceVersion", "uid")},
        "generation": {"type": "integer"},
    },
    "additionalProperties": False,
}


def strict(schema: Mapping[str, Any]) -> Schema:
    """A structural schema as plain JSON Schema, with unknown fields refused wherever the API server would drop them.

    Only the structural spine (properties, items, additionalProperties) is closed: schemas inside ``anyOf`` and its kin
    constrain values, they do not list fields.
    """
    return dict(_strict_items(schema))


def _strict_items(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    preserve = schema.get("x-kubernetes-preserve-unknown-fields", False)
    properties = schema.get("properties")
    for key, value in schema.items():
        if key == "properties":
            yield key, {name: strict(child) for name, child in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, Mapping):
            yield key, strict(value)
        elif key == "type" and schema.get("nullable"):
            yield key, [value, "null"]
        elif key == "type" or not key.startswith("x-kubernetes-"):
            yield key, value
    if schema.get("x-kubernetes-int-or-string"):
        yield "type", ["integer", "string"]
    if properties is not None and "additionalProperties" not in schema and not preserve:
        yield "additionalProperties", False


def defaulted(schema: Mapping[str, Any], value: Any) -> Any:
    """A copy of the value with the schema's defaults filled in, as the API server does before it looks at rules."""
    if isinstance(value, Mapping):
        properties = schema.get("properties", {})
        filled = {name: copy.deepcopy(child["default"]) for name, child in properties.items() if "default" in child}
        others = schema.get("additionalProperties")
        others = others if isinstance(others, Mapping) else {}
        return {name: defaulted(properties.get(name, others), item) for name, item in {**filled, **value}.items()}
    if isinstance(value, list):
        return [defaulted(schema.get("items", {}), item) for item in value]
    return value


def _broken_rules(schema: Mapping[str, Any], value: Any, path: str) -> Iterator[str]:
    """The ``x-kubernetes-validations`` that do not hold, wherever in the value. Rules about a change are left out."""
    for item in schema.get("x-kubernetes-validations", ()):
        if "oldSelf" not in item["rule"] and not _rule(item["rule"]).execute({"self": value}):
            yield f"{path}: {item.get('message') or item['rule']}"
    if isinstance(value, Mapping):
        properties = schema.get("properties", {})
        others = schema.get("additionalProperties")
        others = others if isinstance(others, Mapping) else {}
        for name, child in value.items():
            yield from _broken_rules(properties.get(name, others), child, f"{path}.{name}")
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _broken_rules(schema.get("items", {}), child, f"{path}[{index}]")


@functools.cache
def _rule(text: str) -> cel.Program:
    return cel.compile(text)
