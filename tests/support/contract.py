"""The published contract (openapi.yaml) as a judge of replies."""

from __future__ import annotations

import functools
import re
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


def operation(method: str, path: str) -> dict[str, Any] | None:
    """The operation that a concrete path means: a literal template wins over one with parameters. None without one."""
    best: tuple[int, str] | None = None
    for template in document()["paths"]:
        pattern = "".join(
            f"(?:{part})" if index % 2 else re.escape(part)
            for index, part in enumerate(re.sub(r"\{\w+\}", "\0.+\0", template).split("\0"))
        )
        rank = (-template.count("{"), template)
        if re.fullmatch(pattern, path) and (best is None or rank > best):
            best = rank
    found: dict[str, Any] | None = document()["paths"][best[1]].get(method.lower()) if best else None
    return found


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
