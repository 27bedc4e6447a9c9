"""A Kubernetes API over real HTTP for tests: lists, watches and resourceVersions that behave, and faults on demand.

It keeps objects and the history of their changes under one counter, as etcd does. A list is paged and names the
counter's value; a watch replays the history after its resourceVersion and then follows; a version from before
:meth:`KubeApi.compact` is 410. Faults are queued by :meth:`KubeApi.inject` and used up one request at a time.
Every request is put to ``authorize(method, path, query)`` first; a no is 403. A watch is judged when it begins: it
lives on after a right is revoked, as on a real server.

A restart has the stages of a real one, see :data:`Stage`; every resourceVersion from before it is 410 afterwards, as an
ERROR event at the head of a watch that was answered 200.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from maas_api.kube.objects import KINDS, Kind
from tests.support.kubehttp import Handler, Server, key_of

Object = dict[str, Any]

Stage = Literal["down", "loading rules", "initializing", "serving"]
"""``down``: nobody answers, and what was open is broken. ``loading rules``: it does not know its own RBAC yet and
forbids everything (403). ``initializing``: it knows callers, but its storage does not answer yet (429, Retry-After 1).
"""


@dataclass
class Fault:
    """What goes wrong with one request.

    ``verb``: list, watch, get or post. ``status``: answer this instead. ``cut_after``: for a watch, break the
    connection in the middle of the line after so many events. ``error_event``: for a watch, send this status code as
    an ERROR event and end. ``silent``: for a watch, say nothing at all and never end. ``end``: end the watch at once.
    ``only``: only for requests whose query makes this true.
    """

    verb: str
    plural: str = ""
    status: int = 0
    retry_after: int = 0
    cut_after: int | None = None
    error_event: int = 0
    silent: bool = False
    end: bool = False
    only: Callable[[Mapping[str, str]], bool] = field(default=lambda query: True)


class KubeApi:
    """State, history and faults. Everything is safe from any thread."""

    def __init__(self, kinds: tuple[Kind, ...] = KINDS) -> None:
        self.changed = threading.Condition()
        self.version = 100
        self.compacted = 0
        self.history: list[tuple[int, str, str, Object]] = []  # version, plural, type, object
        self.objects: dict[str, dict[tuple[str, str], Object]] = {kind.plural: {} for kind in kinds}
        self.served: dict[str, set[tuple[str, str]]] = {
            kind.plural: {(kind.group, version) for version in kind.versions} for kind in kinds
        }
        self.faults: list[Fault] = []
        self.requests: Counter[str] = Counter()
        self.queries: list[tuple[str, dict[str, str]]] = []
        self.authorizations: list[str] = []
        self.bookmarks = True
        self.answers: dict[str, Callable[[Any], Any]] = {}
        self.secrets: dict[tuple[str, str], dict[str, str]] = {}
        self.authorize: Callable[[str, str, Mapping[str, str]], bool] = lambda method, path, query: True
        self.stage: Stage = "serving"
        self.arrivals: Counter[Stage] = Counter()  # requests, and connections while it is down
        self.forbidden = 0
        self.break_connections: Callable[[], None] = lambda: None
        self.accounts: dict[str, Callable[[str, str, Mapping[str, str]], bool]] = {}  # by token, instead of authorize
        self.closing = False
        self.url = ""

    # -- the cluster's life

    def put(self, plural: str, obj: Mapping[str, Any]) -> Object:
        """Create or replace an object, as a controller would."""
        with self.changed:
            self.version += 1
            key = key_of(obj)
            held = self.objects[plural]
            kind = "MODIFIED" if key in held else "ADDED"
            stamp = {"resourceVersion": str(self.version), "uid": f"uid-{key}"}
            stamped = {**obj, "metadata": {**obj["metadata"], **stamp}}
            held[key] = stamped
            self.history.append((self.version, plural, kind, stamped))
            self.changed.notify_all()
            return stamped

    def delete(self, plural: str, namespace: str, name: str) -> None:
        """Delete an object."""
        with self.changed:
            self.version += 1
            gone = self.objects[plural].pop((namespace, name))
            gone = {**gone, "metadata": {**gone["metadata"], "resourceVersion": str(self.version)}}
            self.history.append((self.version, plural, "DELETED", gone))
            self.changed.notify_all()

    def compact(self) -> None:
        """Forget the history: every older resourceVersion is 410 from now on. Running watches go on."""
        with self.changed:
            self.compacted = self.version

    def cut_watches(self) -> None:
        """Break every running watch; what happens afterwards is up to the client."""
        with self.changed:
            self.version += 1
            self.history.append((self.version, "*", "CUT", {}))
            self.changed.notify_all()

    def enter(self, stage: Stage) -> None:
        """Go to a stage of a restart. ``down`` breaks every connection; afterwards nothing resumes from before."""
        with self.changed:
            self.stage = stage
        if stage == "down":
            self.cut_watches()
            self.break_connections()
        elif stage == "serving":
            with self.changed:
                self.version += 1
                self.compacted = self.version

    def serve(self, kind: Kind, *versions: str) -> None:
        """Serve a kind in these versions only; none: the kind's definition is gone, and so are its objects."""
        with self.changed:
            self.served[kind.plural] = {(kind.group, version) for version in versions}
            if not versions:
                self.objects[kind.plural].clear()
                self.history.append((self.version, kind.plural, "CUT", {}))
                self.changed.notify_all()

    def inject(self, *faults: Fault) -> None:
        """Queue faults; each is used by the next request it fits."""
        with self.changed:
            self.faults.extend(faults)

    def fault(self, verb: str, plural: str, query: Mapping[str, str]) -> Fault | None:
        """Take the first fault that fits a request."""
        with self.changed:
            for fault in self.faults:
                if fault.verb == verb and fault.plural in ("", plural) and fault.only(query):
                    self.faults.remove(fault)
                    return fault
        return None

    def state(self, plural: str) -> dict[tuple[str, str], str]:
        """Every object's resourceVersion."""
        with self.changed:
            return {key: obj["metadata"]["resourceVersion"] for key, obj in self.objects[plural].items()}


@contextmanager
def running(api: KubeApi) -> Iterator[str]:
    """Serve the API on a free loopback port; yields its base URL."""

    class Bound(Handler):
        pass

    Bound.api = api
    server = Server(("127.0.0.1", 0), Bound, api=api)
    api.break_connections = server.close_connections
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    api.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield api.url
    finally:
        with api.changed:
            api.closing = True
            api.changed.notify_all()
        server.shutdown()
        server.close_connections()
        server.server_close()
        thread.join(5)


def kubeconfig(api: KubeApi, folder: Path, **user: Any) -> Path:
    """A kubeconfig file in ``folder`` that leads to the running API, with these fields for its user."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {"server": api.url}}],
        "users": [{"name": "test", "user": user}],
    }
    file = folder / "kubeconfig"
    file.write_text(yaml.safe_dump(document))
    return file
