"""One line of a watch, read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, cast

from maas_api.kube.client import RefusedError, UnreachableError
from maas_api.kube.objects import Object

GONE = 410

EventType = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]


class GoneError(Exception):
    """The resourceVersion is too old: list again."""


class Event(NamedTuple):
    """What a watch said. ``version``: where to go on after it, "" where it does not say."""

    type: EventType
    object: Object

    @property
    def version(self) -> str:
        """The object's resourceVersion."""
        return str((self.object.get("metadata") or {}).get("resourceVersion") or "")


def read(line: bytes) -> Event:
    """The event of a line.

    Raises GoneError and RefusedError for what an ERROR event says, UnreachableError for a line that is no event: then
    nothing on the connection can be relied upon.
    """
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        raise UnreachableError("a line of the watch is not JSON") from None
    kind, obj = (event.get("type"), event.get("object")) if isinstance(event, Mapping) else (None, None)
    if kind == "ERROR":
        raise _error(obj)
    if not isinstance(obj, Mapping) or kind not in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK"):
        raise UnreachableError(f"an event of the watch is of the unknown type {str(kind)[:40]!r}")
    return Event(cast("EventType", kind), obj)


def _error(status: Any) -> Exception:
    code = status.get("code") if isinstance(status, Mapping) else None
    if code == GONE:
        return GoneError()
    reason = str(status.get("reason") or "") if isinstance(status, Mapping) else ""
    message = str(status.get("message") or "") if isinstance(status, Mapping) else ""
    return RefusedError(code if isinstance(code, int) else 500, reason or "ERROR event", message[:500])
