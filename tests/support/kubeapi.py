"""A Kubernetes API over real HTTP for tests: lists, watches and resourceVersions that behave, and faults on demand.

It keeps objects and the history of their changes under one counter, as etcd does. A list is paged and names the
counter's value; a watch replays the history after its resourceVersion and then follows; a version from before
:meth:`KubeApi.compact` is 410. Faults are queued by :meth:`KubeApi.inject` and used up one request at a time.
Every request is put to ``authorize(method, path, query)`` first; a no is 403.
"""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from maas_api.kube.objects import KINDS, Kind

Object = dict[str, Any]


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
        self.closing = False
        self.url = ""

    # -- the cluster's life

    def put(self, plural: str, obj: Mapping[str, Any]) -> Object:
        """Create or replace an object, as a controller would."""
        with self.changed:
            self.version += 1
            key = _key(obj)
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

    class Handler(_Handler):
        pass

    Handler.api = api
    server = _Server(("127.0.0.1", 0), Handler)
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


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.connections: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        for connection in tuple(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is nothing to report."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # an answer in one segment, not headers first and 40 ms of delayed ACK later the body
    disable_nagle_algorithm = True
    api: KubeApi

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 -- the base class's name
        """Silence."""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {key: values[-1] for key, values in parse_qs(url.query).items()}
        parts = url.path.strip("/").split("/")
        self.api.authorizations.append(self.headers.get("Authorization") or "")
        if not self.api.authorize("GET", url.path, query):
            self._status(403)
        elif "secrets" in parts:
            self._secret(parts)
        elif len(parts) <= 3 and parts[0] == "apis":
            self._discover(parts)
        else:
            self._resource(parts, query)

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        plural = path.rpartition("/")[2]
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.api.requests[f"post {plural}"] += 1
        fault = self.api.fault("post", plural, {})
        if not self.api.authorize("POST", path, {}):
            self._status(403)
        elif fault is not None:
            self._status(fault.status, fault.retry_after)
        elif plural in self.api.answers:
            self._json(201, self.api.answers[plural](body))
        else:
            self._status(404)

    def _discover(self, parts: list[str]) -> None:
        self.api.requests["discover"] += 1
        group = parts[1]
        with self.api.changed:
            served = {(name, version) for name, pairs in self.api.served.items() for g, version in pairs if g == group}
        versions = [{"groupVersion": f"{group}/{v}", "version": v} for v in sorted({v for _, v in served})]
        resources = [{"name": name, "verbs": ["list", "watch"]} for name, v in served if parts[2:] == [v]]
        if len(parts) == 2 and versions:
            self._json(200, {"kind": "APIGroup", "name": group, "versions": versions})
        elif len(parts) == 3 and resources:
            self._json(200, {"kind": "APIResourceList", "resources": resources})
        else:
            self._status(404)

    def _secret(self, parts: list[str]) -> None:
        self.api.requests["get secrets"] += 1
        fault = self.api.fault("get", "secrets", {})
        secret = self.api.secrets.get((parts[3], parts[5]))
        if fault is not None or secret is None:
            self._status(fault.status if fault else 404)
            return
        data = {key: base64.b64encode(value.encode()).decode() for key, value in secret.items()}
        self._json(200, {"kind": "Secret", "data": data})

    def _resource(self, parts: list[str], query: dict[str, str]) -> None:
        group, version = ("", parts[1]) if parts[0] == "api" else (parts[1], parts[2])
        rest = parts[2:] if parts[0] == "api" else parts[3:]
        namespace = rest[1] if rest[0] == "namespaces" else ""
        plural = rest[-1]
        verb = "watch" if query.get("watch") else "list"
        self.api.requests[f"{verb} {plural}"] += 1
        self.api.queries.append((f"{verb} {plural}", query))
        fault = self.api.fault(verb, plural, query)
        if fault is not None and fault.status:
            self._status(fault.status, fault.retry_after)
        elif (group, version) not in self.api.served.get(plural, set()):
            self._status(404)
        elif verb == "list":
            self._list(plural, namespace, query)
        else:
            self._watch(plural, namespace, query, fault)

    def _list(self, plural: str, namespace: str, query: dict[str, str]) -> None:
        with self.api.changed:
            chosen = [obj for obj in self.api.objects[plural].values() if _matches(obj, namespace, query)]
            version, compacted = self.api.version, self.api.compacted
        start = 0
        if "continue" in query:
            token = json.loads(base64.urlsafe_b64decode(query["continue"]))
            if token["version"] < compacted:
                self._status(410)
                return
            start, version = token["start"], token["version"]
        chosen.sort(key=_key)
        limit = int(query.get("limit", 0)) or len(chosen) or 1
        metadata: dict[str, Any] = {"resourceVersion": str(version)}
        if start + limit < len(chosen):
            token = {"start": start + limit, "version": version}
            metadata["continue"] = base64.urlsafe_b64encode(json.dumps(token).encode()).decode()
        self._json(200, {"kind": "List", "metadata": metadata, "items": chosen[start : start + limit]})

    def _watch(self, plural: str, namespace: str, query: dict[str, str], fault: Fault | None) -> None:
        at = int(query["resourceVersion"])
        deadline = time.monotonic() + float(query["timeoutSeconds"])
        with self.api.changed:
            gone, opened = at < self.api.compacted, len(self.api.history)
            seen = next((n for n, entry in enumerate(self.api.history) if entry[0] > at), opened)
        if gone:
            self._status(410)
            return None
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        if fault is not None and fault.silent:
            with self.api.changed:
                self.api.changed.wait_for(lambda: self.api.closing)
            self.close_connection = True
            return None
        if fault is not None and fault.error_event:
            status = {"kind": "Status", "code": fault.error_event, "reason": "Expired", "message": "too old"}
            self._event("ERROR", status)
        sent = 0
        while fault is None or not (fault.error_event or fault.end):
            with self.api.changed:
                self.api.changed.wait_for(partial(self._news, seen), timeout=deadline - time.monotonic())
                fresh, first, seen = self.api.history[seen:], seen, len(self.api.history)
                now = self.api.version
            for number, (_, its, kind, obj) in enumerate(fresh, start=first):
                if kind == "CUT" and number >= opened and its in ("*", plural):
                    return self._break()
                if its == plural and _matches(obj, namespace, query):
                    if fault is not None and fault.cut_after == sent:
                        return self._break(json.dumps({"type": kind, "object": obj}).encode()[:25])
                    self._event(kind, obj)
                    sent += 1
            if self.api.closing or time.monotonic() >= deadline:
                break
        if self.api.bookmarks and query.get("allowWatchBookmarks") == "true" and fault is None:
            self._event("BOOKMARK", {"metadata": {"resourceVersion": str(now)}})
        self.wfile.write(b"0\r\n\r\n")
        return None

    def _news(self, seen: int) -> bool:
        return len(self.api.history) > seen or self.api.closing

    def _event(self, kind: str, obj: Mapping[str, Any]) -> None:
        self._chunk(json.dumps({"type": kind, "object": obj}).encode() + b"\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _break(self, partial: bytes = b"") -> None:
        if partial:
            self._chunk(partial)
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _status(self, code: int, retry_after: int = 0) -> None:
        body = {"kind": "Status", "status": "Failure", "code": code, "reason": f"Code{code}", "message": "on demand"}
        self._json(code, body, {"Retry-After": str(retry_after)} if retry_after else {})

    def _json(self, code: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


def _key(obj: Mapping[str, Any]) -> tuple[str, str]:
    return str(obj["metadata"].get("namespace") or ""), str(obj["metadata"]["name"])


def _matches(obj: Mapping[str, Any], namespace: str, query: Mapping[str, str]) -> bool:
    if namespace and obj["metadata"].get("namespace") != namespace:
        return False
    selector = query.get("fieldSelector", "")
    return not selector or selector == f"metadata.name={obj['metadata']['name']}"
