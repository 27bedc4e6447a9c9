"""How long a question to the audit takes, with a million records of a year."""

from __future__ import annotations

import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from bench import stores
from bench.machine import percentile, table
from maas_api import migrations
from maas_api.audit.query import Query
from maas_api.audit.reading import Reading
from maas_api.store.database import Database, open_database
from tests.support.audit_rows import NEWEST, TENANT, fill

QUESTIONS: dict[str, dict[str, Any]] = {
    "the newest 50": {},
    "the newest 1,000": {"limit": 1000},
    "what somebody did": {"only": {"actor": "user-7"}},
    "what was done to somebody's keys": {"only": {"owner": "user-7"}},
    "what was done to a key": {"only": {"key": "key-77"}},
    "what was done with a key": {"only": {"viaKey": "key-78"}},
    "what was refused": {"only": {"outcome": "refused"}},
    "revocations of a month ago": {
        "only": {"action": "revoke"}, "start": NEWEST - timedelta(days=60), "end": NEWEST - timedelta(days=30)
    },
    "one request": {"only": {"requestId": "request-777"}},
}  # fmt: skip


def run(*, quick: bool) -> None:
    """Measure and print."""
    rows, times = (10_000, 3) if quick else (1_000_000, 30)
    taken: dict[str, list[str]] = {name: [name] for name in QUESTIONS}
    with tempfile.TemporaryDirectory() as folder, stores.postgres() as server:
        path = f"sqlite:///{Path(folder) / 'keys.db'}"
        migrations.upgrade(path)
        for url in (server.migrated(), path):
            database = open_database(url, statement_seconds=None)
            fill(database, rows)
            for name, asked in QUESTIONS.items():
                taken[name] += _measured(database, Query(**asked), times)
            database.stop()
    print(f"\nThe audit: a question among {rows:,} records, milliseconds\n")
    table(("question", "PostgreSQL p50", "max", "SQLite p50", "max"), [tuple(row) for row in taken.values()])


def _measured(database: Database, query: Query, times: int) -> list[str]:
    reading, took = Reading(database, TENANT), []
    for _ in range(times):
        begun = time.monotonic()
        found, _more = reading.find(query)
        took.append(time.monotonic() - begun)
        assert found
    return [f"{percentile(took, 50) * 1e3:.1f}", f"{max(took) * 1e3:.1f}"]
