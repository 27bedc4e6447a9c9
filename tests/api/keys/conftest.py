"""The assembled service over HTTP, once on each kind of store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from maas_api.app import build
from maas_api.config import load
from maas_api.store.database import Database, open_database
from tests.support.postgres import PostgresServer
from tests.support.serving import serving

VALIDATE = "/internal/v1/api-keys/validate"


@dataclass(frozen=True)
class Api:
    """A running service, its store, and how callers reach it."""

    http: httpx.Client
    database: Database

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        user: str | None = "ann",
        groups: str = '["team"]',
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """One request with the gateway's identity headers. A ``bytes`` body is sent as it is."""
        sent = dict(headers or {})
        if user is not None:
            sent |= {"X-MaaS-Username": user, "X-MaaS-Group": groups}
        if isinstance(body, bytes):
            return self.http.request(method, path, content=body, headers=sent)
        return self.http.request(method, path, json=body, headers=sent)

    def mint(self, name: str = "key", *, user: str = "ann", **fields: Any) -> dict[str, Any]:
        """A new key, as the create reply shows it."""
        answer = self.call("POST", "/v1/api-keys", {"name": name, **fields}, user=user)
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def validate(self, key: str) -> dict[str, Any]:
        """The callback's reply."""
        answer = self.http.post(VALIDATE, json={"key": key})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def sql(self, statement: str, **values: Any) -> None:
        """Change the store behind the service's back, as the Go service or an operator would."""
        with self.database.writing() as connection:
            connection.execute(sa.text(statement), values)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The service on a fresh store, with ``root`` as its only admin."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('store') / 'keys.db'}"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.migrated()
    flags = {
        "database_url": url,
        "kubernetes": "off",
        "manifests": str(tmp_path_factory.mktemp("manifests")),
        "default_subscription": "default",
        "admin_users": "root",
        "validation_deadline_ms": "5000",
        "last_used_flush_seconds": "0.2",
    }
    database = open_database(url)
    with serving(build(load(flags, {}))) as base, httpx.Client(base_url=base) as http:
        yield Api(http, database)
    database.stop()
