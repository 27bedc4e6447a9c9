"""Where a cluster serves a kind, if it does at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from maas_api.kube.client import RefusedError
from maas_api.kube.objects import Kind

NOT_FOUND = 404

Get = Callable[[str], Any]
"""GET one JSON document by path. Raises KubeError."""


def find_path(get: Get, kind: Kind, namespace: str = "") -> str | None:
    """The path of the kind's collection, or None where the cluster does not have it. Raises KubeError.

    The first of the kind's versions that the cluster serves is used; they are listed with the storage version first.
    """
    version = kind.version if not kind.group else _served(get, kind)
    if version is None:
        return None
    root = f"/api/{version}" if not kind.group else f"/apis/{kind.group}/{version}"
    scope = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
    return f"{root}{scope}/{kind.plural}"


def _served(get: Get, kind: Kind) -> str | None:
    group = _found(get, f"/apis/{kind.group}")
    served = {item.get("version") for item in _mappings(group, "versions")}
    for version in kind.versions:
        if version in served:
            resources = _found(get, f"/apis/{kind.group}/{version}")
            if any(item.get("name") == kind.plural for item in _mappings(resources, "resources")):
                return version
    return None


def _found(get: Get, path: str) -> Any:
    try:
        return get(path)
    except RefusedError as fault:
        if fault.status == NOT_FOUND:
            return None
        raise


def _mappings(value: Any, name: str) -> list[Mapping[str, Any]]:
    found = value.get(name) if isinstance(value, Mapping) else None
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []
