"""When a revocation is answered, every worker of the instance refuses the key: also where the store cannot take it."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.support.postgres import PostgresServer
from tests.support.process import USER, Running, running
from tests.support.wait import until

VALIDATE = "/internal/v1/api-keys/validate"
WORKERS = 3


def minted(service: Running) -> tuple[str, str]:
    made = httpx.post(f"{service.url}/v1/api-keys", json={"name": "k"}, headers=USER).json()
    return made["id"], made["key"]


def everywhere(service: Running, key: str, times: int = 12) -> list[bool]:
    """The verdict over fresh connections at once, so that each worker is asked."""

    def ask(_number: int) -> bool:
        valid: bool = httpx.post(service.url + VALIDATE, json={"key": key}).json()["valid"]
        return valid

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(ask, range(times)))


@pytest.fixture(params=["sqlite", "postgresql"])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Running]:
    flags = ["--workers", str(WORKERS)]
    with ExitStack() as stack:
        if request.param == "postgresql":
            server = PostgresServer()
            stack.callback(server.stop)
            flags += ["--database-url", server.migrated()]
        yield stack.enter_context(running(tmp_path, *flags))


def test_no_worker_accepts_a_key_once_its_revocation_is_answered(service: Running) -> None:
    for _ in range(15):
        key_id, key = minted(service)
        assert all(everywhere(service, key))
        assert httpx.delete(f"{service.url}/v1/api-keys/{key_id}", headers=USER).status_code == 200
        assert not any(everywhere(service, key))


def test_a_worker_that_is_gone_does_not_hold_up_an_answer(service: Running) -> None:
    key_id, key = minted(service)
    assert all(everywhere(service, key))
    os.kill(service.workers()[0], signal.SIGKILL)
    until(lambda: len(service.workers()) == WORKERS, what="the worker is replaced", seconds=15)
    assert httpx.delete(f"{service.url}/v1/api-keys/{key_id}", headers=USER).elapsed.total_seconds() < 2
    assert not any(everywhere(service, key))


@pytest.mark.parametrize("how", ["one", "bulk"])
def test_where_the_store_cannot_take_a_revocation_every_worker_refuses_the_key_and_the_answer_says_so(
    tmp_path: Path, how: str
) -> None:
    with running(tmp_path, "--workers", str(WORKERS)) as service:
        key_id, key = minted(service)
        _other_id, other = minted(service) if how == "one" else ("", "")
        assert all(everywhere(service, key))
        store = sqlite3.connect(tmp_path / "keys.db", isolation_level=None)
        full = "CREATE TRIGGER full BEFORE UPDATE OF status ON api_keys BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
        store.execute(full)
        if how == "one":
            answer = httpx.delete(f"{service.url}/v1/api-keys/{key_id}", headers=USER)
        else:
            answer = httpx.post(
                f"{service.url}/v1/api-keys/bulk-revoke", json={"username": USER["X-MaaS-Username"]}, headers=USER
            )
        assert answer.status_code == 500
        assert "This instance refuses what was to be revoked" in answer.json()["error"]
        assert "after a restart, still accepts it" in answer.json()["error"]
        assert not any(everywhere(service, key))
        if other:
            assert all(everywhere(service, other))
        store.execute("DROP TRIGGER full")

        def stored() -> bool:
            found: str = store.execute("SELECT status FROM api_keys WHERE id = ?", (key_id,)).fetchone()[0]
            return found == "revoked"

        until(stored, what="the revocation is written after all", seconds=15)
        until(
            lambda: service.metric("maas_api_revocations_unwritten") == 0, what="nothing is left to write", seconds=15
        )
        assert not any(everywhere(service, key))
        store.close()


def test_the_embedded_store_is_its_user_s_alone(tmp_path: Path) -> None:
    place = tmp_path / "made" / "for" / "it"
    with running(tmp_path, "--sqlite-path", str(place / "keys.db")) as service:
        minted(service)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in place.iterdir()}
        assert modes == {"keys.db": 0o600, "keys.db-wal": 0o600, "keys.db-shm": 0o600}
        assert stat.S_IMODE(place.stat().st_mode) == 0o700


def test_one_that_others_could_read_is_taken_from_them(tmp_path: Path) -> None:
    path = tmp_path / "keys.db"
    sqlite3.connect(path).close()
    path.touch()
    path.chmod(0o644)
    with running(tmp_path) as service:
        minted(service)
        assert {stat.S_IMODE(found.stat().st_mode) for found in tmp_path.glob("keys.db*")} == {0o600}
