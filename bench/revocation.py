"""How long a revoked key is still accepted anywhere, and one whose owner has left: two processes, two workers each."""

from __future__ import annotations

import http.client
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg
import yaml

from bench import services, stores
from bench.asker import PAUSE_SECONDS, Asker, asking
from bench.cluster import Cluster, cluster
from bench.machine import percentile, table
from bench.services import Running
from maas_api.kube.objects import CONFIG_MAP, GROUP
from tests.support import go_service
from tests.support.wait import until

CALLER = {"X-MaaS-Username": "bench", "X-MaaS-Group": '["bench"]'}
_COUNT: Final = 200
_WORKERS: Final = 4
_LATER_SECONDS: Final = 0.03
"""So long it is asked for after every connection was refused: whoever accepts again is seen."""

Rows = list[tuple[str, list[float]]]


def run(*, quick: bool) -> None:
    """Measure and print."""
    count = 10 if quick else _COUNT
    rows: Rows = []
    with stores.postgres() as server:
        store = server.migrated()
        with _services(store, 2) as running, asking(running) as asker:
            for what, revoke in (
                ("", _by_the_service),
                (", by SQL", _by_sql),
                (", by the Go service", _by_the_go_service),
            ):
                rows.append(
                    (f"PostgreSQL, 2 processes x 2 workers{what}", _measure(store, running, asker, count, revoke))
                )
            with _cutting(store):
                took = _measure(store, running, asker, 1 if quick else 3, _by_the_service)
                rows.append(("the same, LISTEN cut", took))
    with tempfile.TemporaryDirectory() as folder:
        store = f"sqlite:///{Path(folder) / 'keys.db'}"
        with _services(store, 1) as running, asking(running) as asker:
            rows.append(("SQLite, 1 process x 2 workers", _measure(store, running, asker, count, _by_the_service)))
    print("\nRevocation: from its answer (of DELETE, or of the COMMIT) to the last time any worker accepted the key")
    _print("revocations", rows)


def leaving(*, quick: bool) -> None:
    """The same of keys whose owners leave."""
    count = 10 if quick else _COUNT
    rows: Rows = []
    with stores.postgres() as server:
        for what, live, enter, leave in _LEAVING:
            some = count if live == "openshift" else count // 2
            rows.append((what, _by_leaving(server.migrated(), some, live, enter, leave)))
    print(
        "\nLeaving, PostgreSQL, 2 processes x 2 workers, 1,000 others in the group: from the API server's taking the "
        "change to the last time any worker accepted a key of the owner"
    )
    _print("departures", rows)


def _print(counted: str, rows: Rows) -> None:
    print(f"Each connection asks again {PAUSE_SECONDS * 1e3:.0f} ms after an answer; 0: never accepted after it.\n")
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


Change = Callable[[Cluster], float]
_NAME = {"namespace": "maas-api", "name": "maas-directory"}


def _group(kube: Cluster, *users: str) -> float:
    return kube.put(GROUP.plural, {"metadata": {"name": "bench"}, "users": [*_OTHERS, *users]})


def _directory(kube: Cluster, *disabled: str, write: Callable[[Any], str] = json.dumps) -> float:
    text = write({"groups": {"bench": [*_OTHERS, "bench"]}, "disabled": list(disabled)})
    return kube.put(CONFIG_MAP.plural, {"metadata": _NAME, "data": {"directory.yaml": text}})


_OTHERS = [f"user-{number}" for number in range(1000)]
_LEAVING: tuple[tuple[str, str, Change, Change], ...] = (
    ("the owner leaves the group (OpenShift)", "openshift", lambda kube: _group(kube, "bench"), _group),
    ("the owner is disabled (ConfigMap, JSON)", "configmap", _directory, lambda kube: _directory(kube, "bench")),
    (
        "the owner is disabled (ConfigMap, YAML)",
        "configmap",
        lambda kube: _directory(kube, write=yaml.safe_dump),
        lambda kube: _directory(kube, "bench", write=yaml.safe_dump),
    ),
)
"""What happens, LIVE_GROUPS, how the key's owner is there, how they are not."""


def _by_leaving(store: str, count: int, live: str, enter: Change, leave: Change) -> list[float]:
    with tempfile.TemporaryDirectory() as folder, cluster(0) as kube:
        config = Path(folder) / "kubeconfig"
        kube.write_config(config)
        enter(kube)
        off = dict.fromkeys(
            ("SOURCE_LLMINFERENCESERVICES", "SOURCE_SUBSCRIPTIONS", "SOURCE_REGISTRY", "ADMIN_CHECK"), "off"
        )
        more = {"KUBERNETES": "on", "KUBECONFIG": str(config), "LIVE_GROUPS": live, **off}
        kind = (GROUP if live == "openshift" else CONFIG_MAP).plural
        with _services(store, 2, **more) as running, asking(running) as asker:
            # Watching begins after a service that starts is ready: what happens before is taken in then.
            until(lambda: kube.watches(kind) >= _WORKERS, what="every worker watches", seconds=60)
            return _measure(
                store, running, asker, count, lambda _store, _owner, _id: leave(kube), before=lambda: enter(kube)
            )


@contextmanager
def _services(store: str, processes: int, **more: str) -> Iterator[list[Running]]:
    """So many services of two workers, started side by side."""
    with ExitStack() as stack, ThreadPoolExecutor(processes) as starting:
        contexts = [services.maas(store, workers=2, **more) for _ in range(processes)]
        found = [starting.submit(stack.enter_context, context) for context in contexts]
        yield [one.result() for one in found]


def _measure(
    store: str,
    running: list[Running],
    asker: Asker,
    count: int,
    revoke: Revoke,
    *,
    before: Callable[[], object] = lambda: None,
) -> list[float]:
    """Seconds of each, from the moment of a revocation to the last acceptance; 0 when there was none after it."""
    took = []
    owner = http.client.HTTPConnection("127.0.0.1", running[0].port, timeout=30)
    for _ in range(count):
        before()
        made = until(lambda: _minted(owner), what="a key is minted", seconds=30)
        asked = asker.ask(made["key"])
        if not asked.accepted.wait(30):
            raise SystemExit("a key that was just made is not accepted everywhere")
        at = revoke(store, owner, made["id"])
        if not asked.refused.wait(30):
            raise SystemExit("a key is still accepted after 30 s")
        time.sleep(_LATER_SECONDS)
        asked.refused.wait(30)
        took.append(max(0.0, asked.last_yes - at))
    owner.close()
    return took


def _minted(owner: http.client.HTTPConnection) -> dict[str, Any]:
    made = _call(owner, "POST", "/v1/api-keys", {"name": "bench"})
    return made if "key" in made else {}


@contextmanager
def _cutting(store: str) -> Iterator[None]:
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
    thread.start()
    time.sleep(0.5)
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def _call(client: http.client.HTTPConnection, method: str, path: str, body: Any = None) -> dict[str, Any]:
    client.request(method, path, None if body is None else json.dumps(body), CALLER)
    found: dict[str, Any] = json.loads(client.getresponse().read())
    return found
