"""While every thread waits for a slow store: what does not need them answers, and nobody's old request is begun."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from maas_api import asgi
from maas_api.app import build
from maas_api.config import load
from tests.support.serving import serving
from tests.support.wait import until


@dataclass(frozen=True)
class Busy:
    """A service with one thread, which ``/slow`` holds until ``free`` is set."""

    url: str
    begun: list[str]
    free: threading.Event


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Busy]:
    flags = {
        "sqlite_path": str(tmp_path / "keys.db"),
        "manifests": str(tmp_path),
        "threads": "1",
        "kubernetes": "off",
        "default_subscription": "default",
    }
    service = build(load(flags, {}))
    begun: list[str] = []
    free = threading.Event()

    def slow(name: str) -> str:
        begun.append(name)
        free.wait(20)
        return name

    service.flask.add_url_rule("/slow/<name>", view_func=slow)
    with serving(service) as url:
        try:
            yield Busy(url, begun, free)
        finally:
            free.set()


@pytest.mark.parametrize("path", ["/health", "/healthz", "/readyz"])
def test_probes_answer_while_every_thread_waits(busy: Busy, path: str) -> None:
    """Or an outage of the store would have the workers killed, and with them the verdicts that bridge it."""
    with ThreadPoolExecutor(1) as callers:
        caller = callers.submit(httpx.get, busy.url + "/slow/first", timeout=20)
        until(lambda: busy.begun == ["first"], what="the only thread is taken")
        assert httpx.get(busy.url + path, timeout=5).status_code == 200
        busy.free.set()
        assert caller.result().text == "first"


def test_a_request_that_waited_too_long_for_a_thread_is_not_begun(busy: Busy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its client has given up; a key minted for nobody would be the least of it."""
    monkeypatch.setattr(asgi, "QUEUE_SECONDS", 0.0)
    with ThreadPoolExecutor(1) as callers:
        answer = callers.submit(httpx.get, busy.url + "/slow/late", timeout=20).result()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "error" in answer.json()
    assert busy.begun == []


WHO = {"X-MaaS-Username": "ann", "X-MaaS-Group": '["team"]'}


def test_a_mint_waits_for_a_thread_and_holds_nobody(busy: Busy) -> None:
    with ThreadPoolExecutor(2) as callers:
        caller = callers.submit(httpx.get, busy.url + "/slow/first", timeout=20)
        until(lambda: busy.begun == ["first"], what="the only thread is taken")
        mint = callers.submit(httpx.post, busy.url + "/v1/api-keys", json={"name": "k"}, headers=WHO, timeout=20)
        assert httpx.get(busy.url + "/readyz", timeout=5).status_code == 200
        assert not mint.done()
        busy.free.set()
        assert caller.result().text == "first"
        assert mint.result().status_code == 201


def test_a_mint_that_waited_too_long_makes_no_key(busy: Busy, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as late:
        late.setattr(asgi, "QUEUE_SECONDS", 0.0)
        assert httpx.post(busy.url + "/v1/api-keys", json={"name": "k"}, headers=WHO, timeout=20).status_code == 503
    assert httpx.post(busy.url + "/v1/api-keys/search", json={}, headers=WHO, timeout=20).json()["data"] == []
