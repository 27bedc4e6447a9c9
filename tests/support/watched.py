"""A reflector under watch: its store, and a witness of everything that the store ever lacked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from maas_api.kube.backoff import Timing
from maas_api.kube.client import Client
from maas_api.kube.credentials import Credentials, Fixed
from maas_api.kube.objects import LLM_INFERENCE_SERVICE, Changed, Kind, ObjectStore
from maas_api.kube.reflector import Reflector
from tests.support.kubeapi import KubeApi
from tests.support.objects import service
from tests.support.wait import until

SERVICES = LLM_INFERENCE_SERVICE.plural
QUICK = Timing(watch=30, slack=0.2, backoff=0.02, backoff_limit=0.1, absent=0.02, page=500)


def client_of(api: KubeApi) -> Client:
    return Client(Credentials(api.url, Fixed()), qps=10_000, burst=10_000)


class Watched:
    """A reflector, its store, and a witness of everything the store ever lacked."""

    def __init__(
        self, api: KubeApi, kind: Kind = LLM_INFERENCE_SERVICE, timing: Timing = QUICK, **options: Any
    ) -> None:
        self.api = api
        self.store = ObjectStore(kind)
        self.reflector = Reflector(client_of(api), self.store, timing=timing, **options)
        self.missing: list[set[tuple[str, str]]] = []
        self.keep: set[tuple[str, str]] = set()
        self.store.subscribe(self._look)

    def _look(self, changed: Changed) -> None:
        lost = self.keep - self.store.snapshot().keys()
        if lost:
            self.missing.append(lost)

    def equal(self) -> bool:
        held = {key: obj["metadata"]["resourceVersion"] for key, obj in self.store.snapshot().items()}
        return held == self.api.state(self.store.kind.plural)

    def settle(self, what: str = "the store equals the cluster", seconds: float = 10) -> None:
        until(lambda: self.reflector.has_synced and self.equal(), what=what, seconds=seconds)
        self.keep = set(self.store.snapshot())
        assert not self.missing

    @property
    def state(self) -> str:
        return self.reflector.status()[0].state


@contextmanager
def watching(api: KubeApi, **options: Any) -> Iterator[Watched]:
    watched = Watched(api, **options)
    watched.reflector.start()
    try:
        yield watched
    finally:
        watched.reflector.stop()


def grow(api: KubeApi, *names: str) -> None:
    for name in names:
        api.put(SERVICES, service(name))


def watch_open(api: KubeApi, count: int = 1) -> None:
    until(lambda: api.requests[f"watch {SERVICES}"] >= count, what=f"watch number {count} is open")
