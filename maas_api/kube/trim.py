"""Objects without what nobody here reads: thousands of them are kept in memory by every worker. Pure."""

from __future__ import annotations

from typing import Any

from maas_api.kube.objects import HTTP_ROUTE, INFERENCE_SERVICE, LLM_INFERENCE_SERVICE, Kind, Object

_SPEC: dict[Kind, tuple[str, ...]] = {
    LLM_INFERENCE_SERVICE: ("model", "router"),  # not its pod templates, which are most of it
    INFERENCE_SERVICE: ("predictor",),
    HTTP_ROUTE: ("parentRefs", "hostnames"),
}
_STATUS: dict[Kind, tuple[str, ...]] = {HTTP_ROUTE: ()}

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def trim(kind: Kind, obj: Object) -> Object:
    """The object without server-side-apply bookkeeping and, for the kinds whose readers are known, unread fields."""
    slim = dict(obj)
    metadata = slim.get("metadata")
    if isinstance(metadata, dict):
        metadata = {key: value for key, value in metadata.items() if key != "managedFields"}
        notes = metadata.get("annotations")
        if isinstance(notes, dict) and _LAST_APPLIED in notes:
            metadata["annotations"] = {key: value for key, value in notes.items() if key != _LAST_APPLIED}
        slim["metadata"] = metadata
    _keep(slim, "spec", _SPEC.get(kind))
    _keep(slim, "status", _STATUS.get(kind))
    return slim


def _keep(obj: dict[str, Any], part: str, names: tuple[str, ...] | None) -> None:
    content = obj.get(part)
    if names is not None and isinstance(content, dict):
        obj[part] = {name: content[name] for name in names if name in content}
