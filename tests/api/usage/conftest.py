"""The assembled service with a secret for the gateway, once on each kind of store."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from maas_api.app import build
from maas_api.config import load
from maas_api.store.database import Database, open_database
from tests.support import otlp
from tests.support.contract import check
from tests.support.postgres import PostgresServer
from tests.support.serving import serving

INGEST = "/internal/v1/usage"
SECRET = {"X-MaaS-Internal-Secret": "knock-knock"}


@dataclass(frozen=True)
class Api:
    """A running service, its store, and how the gateway and callers reach it."""

    http: httpx.Client
    database: Database

    def post(self, body: bytes, *, zipped: bool = False, **headers: str) -> httpx.Response:
        """A batch as the gateway posts it."""
        sent = {**otlp.HEADERS, **SECRET, "x-forwarded-for": "10.0.0.1", "x-envoy-internal": "true", **headers}
        if zipped:
            body, sent["Content-Encoding"] = gzip.compress(body), "gzip"
        return self.http.post(INGEST, content=body, headers=sent)

    def count(self, calls: Sequence[Mapping[str, Any]], *, at: float | None = None) -> None:
        """Have these calls counted."""
        answer = self.post(otlp.batch(calls, at=at))
        assert answer.status_code == 200, answer.text

    def get(
        self, path: str, *, user: str | None = "ann", accept: str = "application/json", **query: Any
    ) -> httpx.Response:
        """A question of a user's."""
        headers = {"Accept": accept}
        if user is not None:
            headers |= {"X-MaaS-Username": user, "X-MaaS-Group": '["team"]'}
        return self.http.get(path, params=query, headers=headers)

    def ask(self, caller: str, query: Mapping[str, Any]) -> httpx.Response:
        """``GET /v1/usage`` with a query that may have a parameter called ``user``."""
        headers = {"X-MaaS-Username": caller, "X-MaaS-Group": '["team"]'}
        return self.http.get("/v1/usage", params=query, headers=headers)

    def usage(self, *, user: str = "ann", **query: Any) -> dict[str, Any]:
        """The answer to ``GET /v1/usage``."""
        answer = self.get("/v1/usage", user=user, **query)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        check("GET", "/v1/usage", 200, found)
        return found

    def mint(self, name: str = "key", *, user: str = "ann", **fields: Any) -> dict[str, Any]:
        """A new key."""
        headers = {"X-MaaS-Username": user, "X-MaaS-Group": '["team"]'}
        answer = self.http.post("/v1/api-keys", json={"name": name, **fields}, headers=headers)
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The service on a fresh store, with ``root`` as its only admin."""
    folder = tmp_path_factory.mktemp("usage")
    if request.param == "sqlite":
        url = f"sqlite:///{folder / 'keys.db'}"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.migrated()
    (folder / "secret").write_text(SECRET["X-MaaS-Internal-Secret"])
    (folder / "manifests").mkdir()
    flags = {
        "database_url": url,
        "kubernetes": "off",
        "manifests": str(folder / "manifests"),
        "default_subscription": "default",
        "internal_secret_file": str(folder / "secret"),
        "admin_users": "root",
    }
    database = open_database(url)
    with serving(build(load(flags, {}))) as base, httpx.Client(base_url=base, trust_env=False, timeout=20) as client:
        yield Api(client, database)
    database.stop()
