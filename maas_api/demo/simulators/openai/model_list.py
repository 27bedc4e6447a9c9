"""``GET /v1/models`` in OpenAI's shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from maas_api.demo.simulators.server import Whole


def model_list(models: Mapping[str, int], owner: str, **more: Any) -> Whole:
    """Names with their creation times. ``more``: what the server adds to each."""
    data = [{**model_entry(name, models[name], owner), **more} for name in models]
    return Whole(200, {"object": "list", "data": data})


def model_entry(name: str, created: int, owner: str) -> dict[str, Any]:
    """One model of the list."""
    return {"id": name, "object": "model", "created": created, "owned_by": owner}
