"""InferenceService objects (KServe's older kind) as catalog entries. Pure.

They name no gateway, so all of them are listed. Unlike those of an LLMInferenceService their conditions are not all
meant to be True (``Stopped`` is False while one runs); KServe sums the others up in ``Ready``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from maas_api.models.model import Mapped, ModelEntry, Omission
from maas_api.models.sources.fields import annotated_details, at, created, items, origin, text

SOURCE = "inferenceservices"


def to_entry(obj: Mapping[str, Any]) -> Mapped:
    """The object's entry, or the reason why it is left out."""
    url = text(obj, "status", "url") or text(obj, "status", "address", "url")
    if not url:
        return Mapped(omissions=(Omission(SOURCE, origin(obj), "no address: status has no url or address"),))
    unready = _unready(obj)
    entry = ModelEntry(
        id=text(obj, "metadata", "name"),
        created=created(obj),
        owned_by=text(obj, "metadata", "namespace"),
        ready=not unready,
        unready=unready,
        source=SOURCE,
        origin=origin(obj),
        url=url,
        details=annotated_details(obj),
        namespace=text(obj, "metadata", "namespace"),
    )
    return Mapped(entries=(entry,))


def _unready(obj: Mapping[str, Any]) -> str:
    if at(obj, "metadata", "deletionTimestamp"):
        return "being deleted"
    for condition in items(obj, "status", "conditions"):
        if condition.get("type") == "Ready":
            reason = text(condition, "reason")
            state = text(condition, "status") or "missing"
            return "" if state == "True" else f"condition Ready is {state}" + (f" ({reason})" if reason else "")
    return "no condition Ready yet"
