"""How long a revoked key is still accepted anywhere: several processes, each with workers of its own."""

from __future__ import annotations

import http.client
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from bench import services, stores
from bench.machine import percentile, table
from bench.services import VALIDATE, Running
from maas_api.kube.objects import CONFIG_MAP, GROUP
from tests.support import go_service, kubeapi
from tests.support.kubeapi import KubeApi, kubeconfig
from tests.support.wait import until

CALLER = {"X-MaaS-Username": "bench", "X-MaaS-Group": '["bench"]'}
CONNECTIONS = 8
"""Connections to each process. The kernel spreads them over its workers."""


def run(*, quick: bool) -> None:
    """Measure and print."""
    count = 10 if quick else 200
    rows = []
    with stores.postgres() as server:
        for what, revoke in (("", _by_the_service), (", by SQL", _by_sql), (", by the Go service", _by_the_go_service)):
            took = _measure(server.migrated(), 2, count, revoke)
            rows.append((f"PostgreSQL, 2 processes x 2 workers{what}", *took))
        rows.append(("the same, LISTEN cut", *_measure(server.migrated(), 2, 1 if quick else 5, cut=True)))
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'keys.db'}"
        rows.append(("SQLite, 1 process x 2 workers", *_measure(url, 1, count)))
    print("\nRevocation: from its answer (of DELETE, or of the COMMIT) to the last time any worker accepted the key\n")
    _print("revocations", rows)


def leaving(*, quick: bool) -> None:
    """The same of keys whose owners leave."""
    with stores.postgres() as server:
        count = 10 if quick else 200
        rows = [("revoked, for comparison", *_measure(server.migrated(), 2, count))]
        rows += [(what, *_by_leaving(server.migrated(), count, *how)) for what, *how in _LEAVING]
    print(
        "\nLeaving, PostgreSQL, 2 processes x 2 workers: from the API server's taking the change to the last time any "
        "worker accepted a key of the owner\n"
    )
    _print("departures", rows)


def _print(counted: str, rows: list[tuple[str, list[float]]]) -> None:
    table(
        ("what", counted, "p50 ms", "p99 ms", "max ms", "accepted after 1 s"),
        [
            (
                what,
                str(len(took)),
                f"{percentile(took, 50) * 1e3:.1f}",
                f"{percentile(took, 99) * 1e3:.1f}",
                f"{max(took) * 1e3:.1f}",
                str(sum(one > 1 for one in took)),
            )
            for what, took in rows
        ],
    )


Revoke = Callable[[str, http.client.HTTPConnection, str], float]
"""Takes the store's URL, a connection to a service, a key's id; gives the moment of the revocation's answer."""


def _by_the_service(_store: str, owner: http.client.HTTPConnection, key_id: str) -> float:
    revoked = _call(owner, "DELETE", f"/v1/api-keys/{key_id}")
    at = time.monotonic()
    assert revoked["status"] == "revoked"
    return at


def _by_sql(store: str, _owner: http.client.HTTPConnection, key_id: str) -> float:
    return _executed(store, "UPDATE api_keys SET status = 'revoked', expires_at = now() WHERE id = %s", key_id)


def _by_the_go_service(store: str, _owner: http.client.HTTPConnection, key_id: str) -> float:
    return _executed(store, go_service.REVOKE, key_id)


def _executed(store: str, statement: str, key_id: str) -> float:
    with psycopg.connect(store, autocommit=True) as connection:
        done = connection.execute(statement.encode(), (key_id,))
        at = time.monotonic()
        assert done.rowcount == 1
    return at


Change = Callable[[KubeApi], object]
_NAME = {"namespace": "maas-api", "name": "maas-directory"}


def _group(api: KubeApi, *users: str) -> object:
    return api.put(GROUP.plural, {"metadata": {"name": "bench"}, "users": [*_OTHERS, *users]})


def _directory(api: KubeApi, *disabled: str) -> object:
    text = json.dumps({"groups": {"bench": [*_OTHERS, "bench"]}, "disabled": list(disabled)})
    return api.put(CONFIG_MAP.plural, {"metadata": _NAME, "data": {"directory.yaml": text}})


_WORKERS = 4
_OTHERS = [f"user-{number}" for number in range(1000)]
_LEAVING: tuple[tuple[str, str, Change, Change], ...] = (
    ("the owner leaves the group (OpenShift)", "openshift", lambda api: _group(api, "bench"), _group),
    ("the owner is disabled (ConfigMap)", "configmap", _directory, lambda api: _directory(api, "bench")),
)
"""What happens, LIVE_GROUPS, how the key's owner is there, how they are not."""


def _by_leaving(store: str, count: int, live: str, enter: Change, leave: Change) -> tuple[list[float]]:
    def leaves(_store: str, _owner: http.client.HTTPConnection, _key_id: str) -> float:
        leave(api)
        return time.monotonic()

    api = KubeApi()
    sys.setswitchinterval(0.0005)  # this process plays the API server too, beside the threads that ask
    with kubeapi.running(api), tempfile.TemporaryDirectory() as folder:
        enter(api)
        off = dict.fromkeys(
            ("SOURCE_LLMINFERENCESERVICES", "SOURCE_SUBSCRIPTIONS", "SOURCE_REGISTRY", "ADMIN_CHECK"), "off"
        )
        more = {"KUBERNETES": "on", "KUBECONFIG": str(kubeconfig(api, Path(folder))), "LIVE_GROUPS": live, **off}
        kind = (GROUP if live == "openshift" else CONFIG_MAP).plural

        def again() -> None:
            # Watching begins after a service that starts is ready: what happens before is taken in then.
            until(lambda: api.requests[f"watch {kind}"] >= _WORKERS, what="every worker watches", seconds=60)
            enter(api)

        return _measure(store, 2, count, leaves, before=again, **more)


def _measure(
    store: str,
    processes: int,
    count: int,
    revoke: Revoke = _by_the_service,
    *,
    cut: bool = False,
    before: Callable[[], object] = lambda: None,
    **more: str,
) -> tuple[list[float]]:
    with ExitStack() as stack:
        running = [stack.enter_context(services.maas(store, workers=2, **more)) for _ in range(processes)]
        found = []
        with _cutting(store, active=cut):
            for _ in range(count):
                before()
                found.append(_one(store, running, revoke, 8.0 if cut else 0.3))
        return (found,)


@contextmanager
def _cutting(store: str, *, active: bool) -> Iterator[None]:
    """Keep every worker from hearing anything: its LISTEN connection is ended again as soon as it stands."""
    stopping = threading.Event()

    def cut() -> None:
        with psycopg.connect(store, autocommit=True) as connection:
            while not stopping.wait(0.01):
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND application_name = 'maas-api changes'"
                )

    thread = threading.Thread(target=cut, daemon=True)
    if active:
        thread.start()
        time.sleep(0.5)
    yield
    stopping.set()
    if active:
        thread.join()


def _one(store: str, running: list[Running], revoke: Revoke, watched: float) -> float:
    """Seconds from a revocation to the last acceptance, over every connection; 0 when there was none after it."""
    owner = http.client.HTTPConnection("127.0.0.1", running[0].port, timeout=30)
    made = _call(owner, "POST", "/v1/api-keys", {"name": "bench"})
    body = json.dumps({"key": made["key"]})
    clients = [
        http.client.HTTPConnection("127.0.0.1", one.port, timeout=30) for one in running for _ in range(CONNECTIONS)
    ]
    last_yes = [0.0] * len(clients)
    stopping, warm = threading.Event(), threading.Barrier(len(clients) + 1)

    def ask(number: int) -> None:
        client = clients[number]
        warmed = False
        while not stopping.is_set():
            begun = time.monotonic()
            client.request("POST", VALIDATE, body, {"Content-Type": "application/json"})
            answer = client.getresponse()
            content = answer.read()
            if answer.status == 200 and json.loads(content)["valid"]:
                last_yes[number] = begun
                if not warmed:
                    warmed = True
                    warm.wait()
            time.sleep(0.001)

    threads = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(len(clients))]
    for thread in threads:
        thread.start()
    warm.wait()
    at = revoke(store, owner, made["id"])
    time.sleep(watched)
    stopping.set()
    for thread in threads:
        thread.join()
    for client in (owner, *clients):
        client.close()
    return max(0.0, max(last_yes) - at)


def _call(client: http.client.HTTPConnection, method: str, path: str, body: Any = None) -> dict[str, Any]:
    client.request(method, path, None if body is None else json.dumps(body), CALLER)
    found: dict[str, Any] = json.loads(client.getresponse().read())
    return found
