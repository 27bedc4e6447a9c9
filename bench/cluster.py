"""A Kubernetes API in a process of its own, so that what it costs is not measured as the service's cost."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import yaml

from maas_api.kube.objects import KINDS, MAAS_AUTH_POLICY, MAAS_MODEL_REF, MAAS_SUBSCRIPTION, Kind
from tests.support.kubeapi import KubeApi, running
from tests.support.objects import CREATED, GATEWAY, GATEWAY_NAMESPACE, registry, service
from tests.unit.subscriptions.objects import policy, subscription

SERVICES = "llminferenceservices"
_CORE_SERVICE = Kind("", ("v1",), "services", "Service")
_NAMESPACE = "maas-api"


def model(number: int, note: str = "") -> dict[str, Any]:
    """One of many models; ``note`` is its description."""
    notes = {"openshift.io/display-name": f"Model {number}", "openshift.io/description": note or "as it was created"}
    return service(
        f"model-{number}", f"team-{number % 50}", model=f"org/model-{number}", metadata={"annotations": notes}
    )


def _reference(name: str) -> dict[str, Any]:
    """A MaaSModelRef that a controller has resolved."""
    notes = {"openshift.io/display-name": f"The model {name}", "openshift.io/description": "as it was created"}
    about = {"name": name, "namespace": "llm", "creationTimestamp": CREATED, "annotations": notes}
    status = {"phase": "Ready", "endpoint": f"https://maas.example.com/llm/{name}", "httpRouteHostnames": []}
    return {
        "apiVersion": "maas.opendatahub.io/v1alpha1",
        "kind": "MaaSModelRef",
        "metadata": about,
        "spec": {"modelRef": {"kind": "LLMInferenceService", "name": name}},
        "status": status,
    }


def _gateway_service() -> dict[str, Any]:
    """The Service of the gateway, by which it is found."""
    owner = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "name": GATEWAY, "uid": "gateway"}
    labels = {"gateway.networking.k8s.io/gateway-name": GATEWAY}
    about = {"name": GATEWAY, "namespace": GATEWAY_NAMESPACE, "labels": labels, "ownerReferences": [owner]}
    ports = [{"name": "https", "port": 443, "protocol": "TCP"}]
    return {"apiVersion": "v1", "kind": "Service", "metadata": about, "spec": {"ports": ports}}


def write_config(url: str, file: Path) -> None:
    """A kubeconfig that leads to the API at ``url``, without credentials."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "bench",
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
        "clusters": [{"name": "bench", "cluster": {"server": url}}],
        "users": [{"name": "bench", "user": {}}],
    }
    file.write_text(yaml.safe_dump(document))


class Cluster:
    """The other end of the process's pipe."""

    def __init__(self, pipe: Connection, url: str) -> None:
        self.url = url
        self._pipe = pipe

    def write_config(self, file: Path) -> None:
        """A kubeconfig that leads here, without credentials."""
        write_config(self.url, file)

    def change(self, number: int, note: str) -> float:
        """Change one model now; returns when (time.monotonic, one clock for every process)."""
        self._pipe.send(("change", number, note))
        done: float = self._pipe.recv()
        return done

    def put(self, plural: str, obj: Mapping[str, Any]) -> float:
        """Create or replace an object now; returns when."""
        self._pipe.send(("put", plural, obj))
        done: float = self._pipe.recv()
        return done

    def watches(self, plural: str) -> int:
        """How many watches of a kind were begun so far."""
        self._pipe.send(("watches", plural))
        found: int = self._pipe.recv()
        return found

    def churn(self, rate: float, plural: str = SERVICES) -> None:
        """Change objects of a kind all the time, ``rate`` times a second, until it is set to 0."""
        self._pipe.send(("churn", rate, plural))
        self._pipe.recv()


@contextmanager
def cluster(models: int, database: str = "") -> Iterator[Cluster]:
    """A cluster with so many models and a small registry.

    ``database``: what its Secret ``maas-db-config`` holds. The models are then MaaSModelRefs, which one subscription
    opens to the group ``bench``, and whatever else the Go service looks for at its start is there.
    """
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(there, models, database), daemon=True)
    process.start()
    try:
        yield Cluster(here, here.recv())
    finally:
        here.send(("end",))
        process.join(10)


def _serve(pipe: Connection, models: int, database: str) -> None:
    api = KubeApi((*KINDS, _CORE_SERVICE))
    api.put("configmaps", registry("[{id: gpt-4o-mini, provider: openai}]"))
    if database:
        api.secrets[_NAMESPACE, "maas-db-config"] = {"DB_CONNECTION_URL": database}
        api.put(_CORE_SERVICE.plural, _gateway_service())
        names = [f"model-{number}" for number in range(models)]
        for name in names:
            api.put(MAAS_MODEL_REF.plural, _reference(name))
        listed = [{"name": name, "namespace": "llm"} for name in names]
        api.put(MAAS_SUBSCRIPTION.plural, subscription("bench", groups=("bench",), models=listed))
        api.put(MAAS_AUTH_POLICY.plural, policy("bench", *names, groups=("bench",)))
    for number in range(0 if database else models):
        api.put(SERVICES, model(number))
    rate, plural, ended = [0.0], [SERVICES], threading.Event()

    def churn() -> None:
        count = 0
        while not ended.is_set():
            if not rate[0]:
                ended.wait(0.01)
                continue
            api.put(plural[0], model(count % models, f"change {count}"))
            count += 1
            ended.wait(1 / rate[0])

    with running(api) as url:
        pipe.send(url)
        threading.Thread(target=churn, daemon=True).start()
        while True:
            command, *values = pipe.recv()
            if command == "end":
                ended.set()
                return
            answer = time.monotonic()
            if command == "change":
                api.put(SERVICES, model(*values))
            elif command == "put":
                api.put(*values)
            elif command == "watches":
                answer = api.requests[f"watch {values[0]}"]
            else:
                rate[0], plural[0] = values
            pipe.send(answer)
