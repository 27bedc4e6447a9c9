"""Reading raw Kubernetes objects: every field may be missing, null or of the wrong type. Pure."""

from __future__ import annotations

import calendar
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from maas_api.models.model import Details


def at(value: Any, *path: str) -> Any:
    """The value under nested keys, or None as soon as something on the way is missing or not a mapping."""
    for name in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def text(value: Any, *path: str) -> str:
    """The text under nested keys, stripped; "" for anything else."""
    found = at(value, *path)
    return found.strip() if isinstance(found, str) else ""


def items(value: Any, *path: str) -> list[Any]:
    """The mappings in the list under nested keys; empty for anything else."""
    found = at(value, *path)
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []


def timestamp(value: Any) -> int:
    """Unix seconds of an RFC 3339 timestamp (``2025-03-15T04:17:00Z``); 0 for anything else.

    YAML turns such text into a datetime, so one is taken as well; without a zone it is UTC, as in YAML 1.1.
    """
    if isinstance(value, str):
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})", value.strip()):
            return 0
        try:
            value = datetime.fromisoformat(value.strip().upper())
        except ValueError:
            return 0
    if isinstance(value, datetime):
        return max(0, calendar.timegm(value.utctimetuple()))
    return 0


def created(obj: Mapping[str, Any]) -> int:
    """The object's creationTimestamp in unix seconds, 0 without one."""
    return timestamp(at(obj, "metadata", "creationTimestamp"))


def origin(obj: Mapping[str, Any]) -> str:
    """The object's ``namespace/name``."""
    return f"{text(obj, 'metadata', 'namespace')}/{text(obj, 'metadata', 'name')}"


def annotated_details(obj: Mapping[str, Any]) -> Details:
    """``modelDetails`` from the annotations the platform's dashboard writes. Unusable capabilities are left out."""
    notes = at(obj, "metadata", "annotations")
    return Details(
        genai_use_case=text(notes, "opendatahub.io/genai-use-case"),
        description=text(notes, "openshift.io/description"),
        display_name=text(notes, "openshift.io/display-name"),
        context_window=text(notes, "opendatahub.io/context-window"),
        capabilities=_capabilities(text(notes, "opendatahub.io/model-capabilities")),
    )


def _capabilities(value: str) -> tuple[str, ...]:
    try:
        found = json.loads(value) if value else []
    except (ValueError, RecursionError):
        return ()
    return tuple(item for item in found if isinstance(item, str)) if isinstance(found, list) else ()


def readiness(obj: Mapping[str, Any]) -> str:
    """Why the object is not ready, or "" when it is.

    Ready means: not being deleted, its status is about the current generation, there are conditions, and every one
    of them is True.
    """
    if at(obj, "metadata", "deletionTimestamp"):
        return "being deleted"
    generation, observed = at(obj, "metadata", "generation") or 0, at(obj, "status", "observedGeneration") or 0
    if generation and observed != generation:
        return f"the status is about generation {observed}, the object is at {generation}"
    conditions = items(obj, "status", "conditions")
    if not conditions:
        return "no conditions yet"
    for condition in conditions:
        if condition.get("status") != "True":
            reason = text(condition, "reason")
            state = text(condition, "status") or "missing"
            return f"condition {text(condition, 'type') or '?'} is {state}" + (f" ({reason})" if reason else "")
    return ""
