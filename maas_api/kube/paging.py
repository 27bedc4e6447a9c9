"""A list of objects, page by page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from maas_api.kube.client import RefusedError, UnreachableError
from maas_api.kube.events import GONE, GoneError
from maas_api.kube.objects import Object

Get = Callable[[str, Mapping[str, str]], Any]
"""GET one JSON document by path and query. Raises KubeError."""


def read(
    get: Get, path: str, selector: Mapping[str, str], limit: int, slim: Callable[[Object], Object]
) -> tuple[list[Object], str]:
    """Every object, each through ``slim`` as it arrives, and the list's resourceVersion. ``limit``: objects of a page,
    0 for all in one.

    Raises GoneError where a continuation has expired, UnreachableError for what is not a list, and what ``get`` raises.
    """
    found: list[Object] = []
    query: dict[str, str] = {**selector, **({"limit": str(limit)} if limit else {})}
    while True:
        try:
            page = get(path, query)
        except RefusedError as fault:
            if fault.status == GONE and "continue" in query:
                raise GoneError from None
            raise
        metadata = page.get("metadata") if isinstance(page, Mapping) else None
        items = page.get("items") or [] if isinstance(page, Mapping) else None  # null is Go's empty list
        if not isinstance(metadata, Mapping) or not isinstance(items, list):
            raise UnreachableError("the list has no items or metadata")
        found.extend(slim(item) for item in items if isinstance(item, Mapping))
        if not metadata.get("continue"):
            return found, str(metadata.get("resourceVersion") or "")
        query["continue"] = str(metadata["continue"])
