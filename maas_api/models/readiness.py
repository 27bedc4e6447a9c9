"""The catalog's part of ``/readyz``: ready once everything was read, and how fresh it is from then on."""

from __future__ import annotations

from typing import Any

from maas_api.models.catalog import Catalog


def report(catalog: Catalog) -> tuple[bool, dict[str, Any]]:
    """Whether the catalog has been read in full once (a source lost later does not make it unready), and each
    source's state with the seconds since it was last in touch."""
    snapshot = catalog.snapshot
    sources = [
        {"name": status.name, "state": status.state, "age_seconds": round(status.age, 1)}
        | ({"detail": status.detail} if status.detail else {})
        for status in catalog.statuses()
    ]
    return catalog.complete, {"models": len(snapshot.rows), "problems": len(snapshot.problems), "sources": sources}
