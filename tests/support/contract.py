"""The published contract (openapi.yaml) as a judge of replies."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import jsonschema
import yaml

_ROOT = Path(__file__).parents[2]


@functools.cache
def document() -> dict[str, Any]:
    """The whole of openapi.yaml."""
    loaded: dict[str, Any] = yaml.safe_load((_ROOT / "openapi.yaml").read_text())
    return loaded


def check(method: str, template: str, status: int, body: Any) -> None:
    """Assert that the operation at this path template declares this status, and that the body has its schema.

    ``body``: decoded JSON, or None for an empty one.
    """
    operation = document()["paths"][template][method.lower()]
    assert str(status) in operation["responses"], f"{method} {template} does not declare {status}"
    response = operation["responses"][str(status)]
    if "$ref" in response:
        response = _follow(response["$ref"])
    content = response.get("content", {}).get("application/json")
    if content is None:
        assert body is None, f"{method} {template} {status} declares no body, got {body!r}"
        return
    schema = {**content["schema"], "components": document()["components"]}
    jsonschema.Draft202012Validator(schema).validate(body)


def _follow(reference: str) -> dict[str, Any]:
    node: Any = document()
    for step in reference.removeprefix("#/").split("/"):
        node = node[step]
    found: dict[str, Any] = node
    return found
