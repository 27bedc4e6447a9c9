"""The listing of a pod through an outage of the API server, and with a kind that may not be read."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from maas_api.config import load
from maas_api.kube import sources as kube_sources
from maas_api.kube.backoff import Timing
from maas_api.models import assembly
from tests.support import kubeapi
from tests.support.kubeapi import KubeApi, Stage, kubeconfig
from tests.support.objects import registry, service
from tests.support.process import Running, running
from tests.support.wait import until

SERVICES = "llminferenceservices"
CALLER = {"X-MaaS-Username": "alice", "X-MaaS-Group": '["ml"]', "Authorization": "Bearer checked-by-the-gateway"}
MODELS, PAGES = 4000, 8
CONVERGED_SECONDS = 10.0
"""It is less than three on a machine with nothing else to do; tests share theirs. A watch that waits for its backoff's
old cap takes thirty."""
WATCHES = 2 * 5
"""Workers, times the kinds that are read by default."""


class Seen(NamedTuple):
    """One answer of the listing: when (time.monotonic, the request's start), its status, length and digest."""

    at: float
    status: int
    models: int
    digest: str


@contextmanager
def polling(service: Running) -> Iterator[list[Seen]]:
    """Ask for the listing all the time, on a new connection each, which one of the workers gets."""
    seen: list[Seen] = []
    over = threading.Event()

    def poll() -> None:
        while not over.is_set():
            at = time.monotonic()
            answer = httpx.get(f"{service.url}/v1/models", headers=CALLER, timeout=10)
            digest = hashlib.sha256(answer.content).hexdigest()
            seen.append(Seen(at, answer.status_code, answer.content.count(b'"id":'), digest))
            over.wait(0.02)

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join(10)


def model(number: int, revision: str = "") -> dict[str, object]:
    return service(f"m{number}", model=f"org/m{number}{revision}")


def last(api: KubeApi, stage: Stage, attempts: int) -> None:
    """Wait until every watch has met the stage so many times, on average."""
    until(lambda: api.arrivals[stage] >= attempts * WATCHES, what=f"the server is met {stage}", seconds=30)


def test_both_workers_equal_the_cluster_soon_after_it_answers_again(tmp_path: Path) -> None:
    api = KubeApi()
    api.put("configmaps", registry("[{id: gpt, provider: openai}]"))
    for number in range(MODELS):
        api.put(SERVICES, model(number))
    with kubeapi.running(api):
        flags = ["--manifests", "", "--kubernetes", "on", "--kubeconfig", str(kubeconfig(api, tmp_path))]
        with running(tmp_path, *flags, "--workers", "2") as pod, polling(pod) as seen:
            until(lambda: [one.status for one in seen[-20:]] == [200] * 20, what="both workers list")
            seen.clear()
            until(lambda: len(seen) > 10, what="the listing is polled")
            before = dict(api.requests)
            api.enter("down")
            for number in range(100):
                api.put(SERVICES, model(number, "-changed"))
                api.delete(SERVICES, "llm", f"m{number + 100}")
                api.put(SERVICES, model(number + MODELS))
            began = time.monotonic()
            last(api, "down", attempts=6)
            api.enter("loading rules")
            last(api, "loading rules", attempts=2)
            api.enter("initializing")
            last(api, "initializing", attempts=2)
            api.enter("serving")
            back = time.monotonic()
            until(lambda: seen[-1].at > back + CONVERGED_SECONDS + 1, what="the time is over", seconds=60)
    assert {one.status for one in seen} == {200}
    assert {one.models for one in seen} == {MODELS + 1}, "never empty, never a part"
    old, new = seen[0].digest, seen[-1].digest
    assert old != new
    assert {one.digest for one in seen} == {old, new}, "nothing in between is shown"
    stale = [one.at for one in seen if one.digest == old]
    fresh = [one.at for one in seen if one.digest == new]
    assert max(stale) - back < CONVERGED_SECONDS, "both workers"
    assert max(stale) - min(fresh) < CONVERGED_SECONDS, "two lists from one pod"
    assert api.requests[f"list {SERVICES}"] - before[f"list {SERVICES}"] == 2 * PAGES, "one list for each worker"
    asked = sum(api.arrivals.values()) - api.arrivals["serving"]
    assert asked < (back - began) * WATCHES * 3, "at most three requests a second for each worker and kind"


@pytest.mark.parametrize("forbidden", ["inferenceservices", "maasmodelrefs", "httproutes"])
def test_a_kind_that_may_not_be_read_is_missing_alone(forbidden: str, tmp_path: Path) -> None:
    """The switch was set, the role was not widened: everything else is listed, and it is said."""
    api = KubeApi()
    api.put("configmaps", registry("[{id: gpt, provider: openai}]"))
    api.put(SERVICES, model(1))
    api.authorize = lambda method, path, query: path.rpartition("/")[2] != forbidden
    with kubeapi.running(api):
        flags = {"kubeconfig": str(kubeconfig(api, tmp_path)), "source_subscriptions": "off"}
        switches = {"source_inferenceservices": "auto", "source_maasmodelrefs": "auto"}
        settings = load(flags | switches, {})
        sources = kube_sources.build(settings, {}, timing=Timing(backoff=0.01, backoff_limit=0.02, refusal_limit=0.05))
        catalog = assembly.catalog(settings, sources)
        for part in (*sources.background, catalog):
            part.start()
        try:
            until(lambda: catalog.complete, what="the catalog goes on without the kind")
            assert [entry.id for entry in catalog.snapshot.entries] == ["gpt", "org/m1"]
            states = {item["name"]: item for item in catalog.report()[1]["sources"]}
            assert states[forbidden]["state"] == "refused"
            assert "403" in states[forbidden]["detail"]
            assert {item["state"] for name, item in states.items() if name != forbidden} == {"live"}
            api.authorize = lambda method, path, query: True
            until(lambda: all(now.state == "live" for now in catalog.statuses()), what="the role was widened")
        finally:
            for part in reversed((*sources.background, catalog)):
                part.stop()
