"""The structural schemas of the platform's custom resource definitions, applied as an API server applies them.

The definitions are read from the folder named by the environment variable ``MAAS_CRDS``; a test that needs them
skips, saying so, where it is unset. A field the schema does not know is an error here (the API server would drop it,
which in a manifest is a typing mistake).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

Schema = dict[str, Any]


def folder() -> Path:
    """Where the definitions are. Skips the calling test where they are not."""
    where = os.environ.get("MAAS_CRDS", "")
    if not where:
        pytest.skip("MAAS_CRDS does not name the folder of custom resource definitions")
    return Path(where)


def errors(manifest: Mapping[str, Any]) -> list[str]:
    """What the API server would say against a custom resource, empty when it takes it.

    Raises KeyError for a kind or version that no definition in the folder serves.
    """
    schema = _schemas(folder(), _group(manifest))[(manifest["apiVersion"], manifest["kind"])]
    found = jsonschema.Draft202012Validator(schema).iter_errors(manifest)
    return sorted(f"{fault.json_path}: {fault.message}" for fault in found)


def knows(manifest: Mapping[str, Any]) -> bool:
    """Whether the folder holds a definition for this manifest's kind and version."""
    return (manifest["apiVersion"], manifest["kind"]) in _schemas(folder(), _group(manifest))


def _group(manifest: Mapping[str, Any]) -> str:
    return str(manifest["apiVersion"]).partition("/")[0]


@functools.cache
def _schemas(where: Path, group: str) -> dict[tuple[str, str], Schema]:
    """The schemas of one API group (files are named ``<group>_<plural>.yaml``): some definitions take a second."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found: dict[tuple[str, str], Schema] = {}
    for path in sorted(where.glob(f"{group}_*.yaml")):
        for document in yaml.load_all(path.read_text(), loader):
            spec = (document or {}).get("spec", {})
            for version in spec.get("versions", ()):
                if not version.get("served", True):
                    continue
                schema = strict(version["schema"]["openAPIV3Schema"])
                schema["required"] = sorted({*schema.get("required", ()), "apiVersion", "kind", "metadata"})
                schema["properties"]["metadata"] = _METADATA
                found[(f"{spec['group']}/{version['name']}", spec["names"]["kind"])] = schema
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
