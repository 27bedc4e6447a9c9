"""Records on the wire: JSON and CSV. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC
from typing import Any, Final

from maas_api.audit.record import Entry
from maas_api.tabular import cell, written

COLUMNS: Final = (
    "at", "id", "action", "outcome", "actor", "via", "viaKey", "owner", "keys", "keyIds", "requestId", "details"
)  # fmt: skip


def as_json(entry: Entry) -> dict[str, Any]:
    """One record. What does not apply is left out."""
    optional = {
        "via": entry.via,
        "viaKey": entry.via_key,
        "owner": entry.owner,
        "keyIds": list(entry.key_ids),
        "requestId": entry.request_id,
        "details": dict(entry.details),
    }
    return {
        "id": entry.id,
        "at": entry.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "tenant": entry.tenant,
        "action": entry.action,
        "outcome": entry.outcome,
        "actor": entry.actor,
        "keys": entry.keys,
        **{name: value for name, value in optional.items() if value},
    }


def as_csv(entries: Sequence[Entry]) -> str:
    """RFC 4180, one line a record."""
    rows = []
    for entry in entries:
        found = as_json(entry)
        found["keyIds"] = " ".join(entry.key_ids)
        found["details"] = json.dumps(dict(entry.details), ensure_ascii=False) if entry.details else ""
        rows.append({name: _cell(found.get(name, "")) for name in COLUMNS})
    return written(COLUMNS, rows)


def _cell(value: Any) -> Any:
    return cell(value) if isinstance(value, str) else value
