"""The catalog: how fast a change in the cluster shows, what it costs the validations beside it, and the listing.

Three processes: a Kubernetes API, the service with one worker, and this one. Every comparison alternates its sides
in one run, because the absolute numbers belong to the machine of the day.
"""

from __future__ import annotations

import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.cluster import Cluster, cluster, model
from bench.machine import percentile, rss, wait_for, workers_of
from maas_api.access.caller import Access
from maas_api.errors import encode
from maas_api.kube.objects import LLM_INFERENCE_SERVICE, ObjectStore
from maas_api.models.calls import Calls
from maas_api.models.catalog import Catalog
from maas_api.models.encoding import openai
from maas_api.models.listing import Listing
from maas_api.models.sources.kserve import Gateway
from maas_api.wire import Reply, Request
from tests.support.objects import GATEWAY, GATEWAY_NAMESPACE
from tests.support.ports import free_port

CALLER = {"X-MaaS-Username": "bench", "X-MaaS-Group": '["bench"]', "Authorization": "Bearer checked-elsewhere"}


def run(*, quick: bool, models: int = 5000) -> None:
    """Measure and print."""
    listing()
    with cluster(models) as kube, service(kube) as (port, worker):
        with_events(kube, port, worker, models, quick=quick)


# -- the listing, in process: what a request costs apart from the socket


def listing(count: int = 1000) -> None:
    """Rate of the pre-encoded listing and of a 304 against encoding per request."""
    sides, size = listings(count)
    rates = {name: statistics.median(rate(side) for _ in range(5)) for name, side in sides.items()}
    base = rates["encoding per request"]
    print(f"\nGET /v1/models with {count} models ({size} bytes), calls per second in process:")
    for name, value in rates.items():
        print(f"  {name:24} {value:12,.0f}   {value / base:8.1f}x")


def listings(count: int) -> tuple[dict[str, Callable[[], object]], int]:
    """The three ways to answer with ``count`` models, by name, the plainest first; and the answer's bytes."""
    store = ObjectStore(LLM_INFERENCE_SERVICE)
    catalog = Catalog(gateway=Gateway(GATEWAY, GATEWAY_NAMESPACE), registry=("n", "r"), stores=[store])
    store.replace([model(number) for number in range(count)])
    entries = catalog.build().entries
    shapes = [json.loads(openai(entry)) for entry in entries]
    routes = Listing(Calls(catalog, Access()))
    headers = [(name.lower().encode(), value.encode()) for name, value in CALLER.items()]
    plain = Request("GET", "/v1/models", "/v1/models", headers, b"")
    first = routes.collection(plain)
    etag = dict(first.headers)[b"etag"]
    conditional = plain._replace(headers=[*headers, (b"if-none-match", etag)])
    assert (first.status, routes.collection(conditional).status) == (200, 304)
    sides: dict[str, Callable[[], object]] = {
        "encoding per request": lambda: Reply(200, (), encode({"object": "list", "data": shapes})),
        "pre-encoded listing": lambda: routes.collection(plain),
        "304, without the socket": lambda: routes.collection(conditional),
    }
    return sides, len(first.body)


def rate(side: Callable[[], object], seconds: float = 0.2) -> float:
    """Calls per second."""
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        side()
        count += 1
    return count / (time.perf_counter() - began)


# -- the service beside a cluster


def with_events(kube: Cluster, port: int, worker: int, models: int, *, quick: bool) -> None:
    """Event to visible, validations beside events, memory."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    print(f"\nwith {models} models: worker's resident memory {rss(worker):.0f} MB")
    samples = [visible_after(kube, client, number % models) for number in range(30 if quick else 300)]
    print(f"event to visible in GET /v1/models, {len(samples)} events: {spread(samples)}")
    over_http(client, quick=quick)
    beside_events(kube, port, mint(client), *((1, 0.5) if quick else (10, 2.0)))
    print(f"worker's resident memory after all that: {rss(worker):.0f} MB")


def over_http(client: http.client.HTTPConnection, *, quick: bool) -> None:
    """The whole listing against a 304, on a connection, one after the other."""
    _, headers, body = ask(client, "GET", "/v1/models", CALLER)
    conditional = {**CALLER, "If-None-Match": headers["etag"]}
    seconds, rounds = (0.2, 1) if quick else (1.0, 5)
    full = statistics.median(rate(lambda: ask(client, "GET", "/v1/models", CALLER), seconds) for _ in range(rounds))
    same = statistics.median(
        rate(lambda: ask(client, "GET", "/v1/models", conditional), seconds) for _ in range(rounds)
    )
    print(f"over HTTP: {len(body)} bytes {full:,.0f}/s, 304 {same:,.0f}/s ({same / full:.1f}x)")


SIDES = {
    "nothing happens": ("", 0),
    "100 events/s of a kind it does not watch": ("inferenceservices", 100),
    "100 events/s of its models": ("llminferenceservices", 100),
}


def beside_events(kube: Cluster, port: int, key: str, rounds: int, seconds: float) -> None:
    """Validations while events arrive, while the same machine makes events for nobody, and while nothing happens.

    The middle side tells the service's cost from that of the processes around it. One p99 a round and side, and their
    median, so that a neighbour's hiccup is one round and not the result.
    """
    found: dict[str, list[list[float]]] = {name: [] for name in SIDES}
    for _ in range(rounds):
        for name, (plural, per_second) in SIDES.items():
            kube.churn(per_second, plural)
            found[name].append(validations(port, key, seconds))
            kube.churn(0)
            time.sleep(0.1)  # what is on its way is taken in before the next side begins
    p99 = {name: statistics.median(percentile(values, 99) for values in all_) for name, all_ in found.items()}
    for name, all_ in found.items():
        together = [value for values in all_ for value in values]
        print(f"validate while {name + ':':42} median of p99s {p99[name] * 1000:.2f} ms   all: {spread(together)}")
    idle, elsewhere, busy = p99.values()
    print(f"ratio of p99: {busy / idle:.2f} to idle, {busy / elsewhere:.2f} to the same events unheard")


def visible_after(kube: Cluster, client: http.client.HTTPConnection, number: int) -> float:
    """Seconds from a change in the cluster to the answer that shows it."""
    note = f"changed at {time.monotonic_ns()}"
    status, headers, _ = ask(client, "GET", "/v1/models", CALLER)
    assert status == 200
    began = kube.change(number, note)
    while True:
        status, _, body = ask(client, "GET", "/v1/models", {**CALLER, "If-None-Match": headers["etag"]})
        if status == 200:
            seen = time.monotonic()
            assert note.encode() in body, "another change was seen"
            return seen - began


def validations(port: int, key: str, seconds: float) -> list[float]:
    """Latencies of validations, one after the other on one connection, in seconds."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    body = json.dumps({"key": key})
    found = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.perf_counter()
        status, _, answer = ask(client, "POST", "/internal/v1/api-keys/validate", {}, body)
        found.append(time.perf_counter() - began)
        assert status == 200, (status, answer)
        assert b'"valid":true' in answer, answer
    client.close()
    return found


def mint(client: http.client.HTTPConnection) -> str:
    """A key of the running service."""
    body = json.dumps({"name": "bench"})
    status, _, answer = ask(client, "POST", "/v1/api-keys", {**CALLER, "Content-Type": "application/json"}, body)
    assert status == 201, (status, answer)
    key: str = json.loads(answer)["key"]
    return key


def ask(
    client: http.client.HTTPConnection, method: str, path: str, headers: dict[str, str], body: str | None = None
) -> tuple[int, dict[str, str], bytes]:
    """One request on a kept connection: status, headers (lower case), body."""
    client.request(method, path, body, headers)
    answer = client.getresponse()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


@contextmanager
def service(kube: Cluster) -> Iterator[tuple[int, int]]:
    """The real service over the cluster: its port and its only worker's process id."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "kubeconfig"
        kube.write_config(config)
        port = free_port()
        command = [sys.executable, "-m", "maas_api", "serve", "--address", f"127.0.0.1:{port}", "--workers", "1"]
        command += ["--kubeconfig", str(config), "--sqlite-path", f"{folder}/keys.db", "--metrics-port", "0"]
        command += ["--source-subscriptions", "off", "--default-subscription", "bench", "--log-level", "error"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            wait_for(port, "/readyz", process)
            yield port, workers_of(process.pid)[-1]
        finally:
            process.terminate()
            process.wait(30)


def spread(seconds: Sequence[float]) -> str:
    """p50, p95, p99 and maximum in milliseconds."""
    shown = {"p50": 50, "p95": 95, "p99": 99, "max": 100}
    return "  ".join(f"{name} {percentile(seconds, rank) * 1000:.2f} ms" for name, rank in shown.items())
