"""The last good registry in a real store: what the statements promise, and two replicas on one database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from maas_api.app import build
from maas_api.config import load
from maas_api.models.documents import StoredDocuments
from maas_api.models.lastgood import Document
from maas_api.store.database import Database, open_database
from tests.support import kubeapi
from tests.support.kubeapi import KubeApi, kubeconfig
from tests.support.objects import registry, service
from tests.support.postgres import PostgresServer
from tests.support.serving import serving
from tests.support.wait import until

CALLER = {"X-MaaS-Username": "alice", "X-MaaS-Group": '["ml"]', "Authorization": "Bearer checked-by-the-gateway"}
BROKEN = "[{id: gpt"


def document(version: int, text: str = "[]", uid: str = "u1") -> Document:
    return Document("maas-api/registry", uid, version, "2026-03-15T04:00:00Z", text)


def test_the_newest_document_is_kept(database: Database) -> None:
    kept = StoredDocuments(database)
    assert kept.read("maas-api/registry") is None
    for version in (5, 9, 7):
        kept.keep(document(version, f"[{version}]"))
    assert kept.read("maas-api/registry") == document(9, "[9]")
    kept.keep(document(2, "[of another object]", uid="u2"))
    assert kept.read("maas-api/registry") == document(2, "[of another object]", uid="u2")
    assert kept.read("elsewhere/registry") is None


def test_a_document_is_forgotten_unless_it_is_newer(database: Database) -> None:
    kept = StoredDocuments(database)
    kept.keep(document(5))
    kept.forget("maas-api/registry", 4)
    assert kept.read("maas-api/registry") == document(5)
    kept.forget("maas-api/registry", 5)
    assert kept.read("maas-api/registry") is None


@contextmanager
def replica(api: KubeApi, url: str, folder: Path) -> Iterator[httpx.Client]:
    """One pod. Ready when the block begins."""
    folder.mkdir()
    flags = {"kubeconfig": str(kubeconfig(api, folder)), "database_url": url, "source_subscriptions": "off"}
    with serving(build(load(flags, {}))) as base, httpx.Client(base_url=base, headers=CALLER) as client:
        until(lambda: client.get("/readyz").status_code == 200, what="the replica is ready")
        yield client


def ids(client: httpx.Client) -> list[str]:
    answer = client.get("/v1/models")
    assert answer.status_code == 200
    return [entry["id"] for entry in answer.json()["data"]]


def said(client: httpx.Client) -> Any:
    return client.get("/readyz").json()["checks"]["models"].get("outdated_registries")


def test_a_fresh_replica_lists_the_last_good_registry_from_its_first_answer_on(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    api, url = KubeApi(), postgres.migrated()
    api.put("llminferenceservices", service("one", model="m1"))
    api.put("configmaps", registry("[{id: gpt, provider: openai}, {id: claude, provider: anthropic}]"))
    with kubeapi.running(api):
        with replica(api, url, tmp_path / "old") as old:
            assert ids(old) == ["claude", "gpt", "m1"]
            assert said(old) is None
            api.put("configmaps", registry(BROKEN))
            until(lambda: said(old), what="it is said that an older document is in force")
            with replica(api, url, tmp_path / "fresh") as fresh:
                assert ids(fresh) == ids(old) == ["claude", "gpt", "m1"]
                assert said(fresh) == said(old)
                assert said(fresh)[0]["in_force"].startswith("resourceVersion ")
                api.put("configmaps", registry("[{id: new, provider: openai}]"))
                for each in (old, fresh):
                    until(lambda each=each: ids(each) == ["m1", "new"], what="the mended document")  # type: ignore[misc]
                    assert said(each) is None
                api.delete("configmaps", "maas-api", "external-model-registry")
                for each in (old, fresh):
                    until(lambda each=each: ids(each) == ["m1"], what="the deletion")  # type: ignore[misc]
        with StoredRows(url) as rows:
            until(lambda: rows.count() == 0, what="nothing is kept of a registry that was deleted")


class StoredRows:
    """The table, counted."""

    def __init__(self, url: str) -> None:
        self._database = open_database(url)

    def __enter__(self) -> StoredRows:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.stop()

    def count(self) -> int:
        with self._database.reading() as connection:
            return int(connection.exec_driver_sql("SELECT count(*) FROM maas_registry_documents").scalar_one())


def test_a_replica_that_starts_while_the_store_is_down_is_ready_and_catches_up(
    tmp_path: Path,
) -> None:
    server = PostgresServer()
    api = KubeApi()
    api.put("configmaps", registry("[{id: gpt, provider: openai}]"))
    try:
        url = server.migrated()
        with kubeapi.running(api):
            with replica(api, url, tmp_path / "old"), StoredRows(url) as rows:
                until(lambda: rows.count() == 1, what="the good document is kept")
            api.put("configmaps", registry(BROKEN))
            server.halt()
            with replica(api, url, tmp_path / "fresh") as fresh:
                assert ids(fresh) == []
                assert said(fresh)[0]["in_force"] is None
                server.run()
                until(lambda: ids(fresh) == ["gpt"], what="the store is back", seconds=20)
    finally:
        server.stop()
