"""MaaSModelRef objects as catalog entries, as the newest Go service lists them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from maas_api.models.model import REFERENCES, Mapped, ModelEntry, Omission
from maas_api.models.sources.fields import annotated_details, at, created, origin, text

SOURCE = REFERENCES

EXTERNAL_MODEL = "ExternalModel"
KINDS = ("", "llmisvc", "LLMInferenceService", EXTERNAL_MODEL)


def to_entry(obj: Mapping[str, Any]) -> Mapped:
    """The object's entry, or the reason why it is left out."""
    kind = text(obj, "spec", "modelRef", "kind")
    phase = text(obj, "status", "phase")
    if phase != "Ready":
        return _left_out(obj, f"not ready: status.phase is {phase or 'not set'}")
    if kind not in KINDS:
        return _left_out(obj, f"spec.modelRef.kind {kind} is not one of {', '.join(filter(None, KINDS))}")
    name = text(obj, "metadata", "name")
    external = kind == EXTERNAL_MODEL
    identifier = text(obj, "spec", "modelRef", "name") if external else text(obj, "status", "resolvedModelAlias")
    hosts = at(obj, "status", "httpRouteHostnames")
    host = hosts[0].strip() if isinstance(hosts, list) and hosts and isinstance(hosts[0], str) else ""
    entry = ModelEntry(
        id=identifier or name,
        created=created(obj),
        owned_by=origin(obj),
        ready=True,
        source=SOURCE,
        origin=origin(obj),
        url=f"https://{host}" if host else text(obj, "status", "endpoint"),
        details=annotated_details(obj),
        kind=kind or "llmisvc",
        namespace=text(obj, "metadata", "namespace"),
    )
    return Mapped(entries=(entry,))


def _left_out(obj: Mapping[str, Any], reason: str) -> Mapped:
    return Mapped(omissions=(Omission(SOURCE, origin(obj), reason),))
