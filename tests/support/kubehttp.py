"""The HTTP side of :mod:`tests.support.kubeapi`: what a request is answered, and when a connection breaks."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import time
from collections.abc import Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from tests.support.kubeapi import Fault, KubeApi


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, *arguments: Any, api: KubeApi) -> None:
        super().__init__(*arguments)
        self.api = api
        self.connections: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        if self.api.stage == "down":
            self.api.arrivals["down"] += 1
            self.shutdown_request(request)
            return
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


class Handler(BaseHTTPRequestHandler):
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
        if not self._started():
            return
        if not self._authorized("GET", url.path, query):
            self.api.forbidden += 1
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
        if not self._started():
            return
        fault = self.api.fault("post", plural, {})
        if not self._authorized("POST", path, {}):
            self._status(403)
        elif fault is not None:
            self._status(fault.status, fault.retry_after)
        elif plural in self.api.answers:
            self._json(201, self.api.answers[plural](body))
        else:
            self._status(404)

    def _started(self) -> bool:
        """Whether the server is up; if not, the request has had its answer."""
        stage = self.api.stage
        self.api.arrivals[stage] += 1
        if stage == "down":
            self._break()
        elif stage == "loading rules":
            self._status(403, message="User cannot list this: RBAC: clusterrole not found")
        elif stage == "initializing":
            self._status(429, 1, "storage is (re)initializing")
        return stage == "serving"

    def _authorized(self, method: str, path: str, query: Mapping[str, str]) -> bool:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        return self.api.accounts.get(token, self.api.authorize)(method, path, query)

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
            chosen = [obj for obj in self.api.objects[plural].values() if matches(obj, namespace, query)]
            version, compacted = self.api.version, self.api.compacted
        start = 0
        if "continue" in query:
            token = json.loads(base64.urlsafe_b64decode(query["continue"]))
            if token["version"] < compacted:
                self._status(410)
                return
            start, version = token["start"], token["version"]
        chosen.sort(key=key_of)
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
        code = 410 if gone else fault.error_event if fault is not None else 0
        if code:
            self._event("ERROR", {"kind": "Status", "code": code, "reason": "Expired", "message": "too old"})
        sent = 0
        now = self.api.version
        while not code and (fault is None or not fault.end):
            with self.api.changed:
                self.api.changed.wait_for(partial(self._news, seen), timeout=deadline - time.monotonic())
                fresh, first, seen = self.api.history[seen:], seen, len(self.api.history)
                now = self.api.version
            for number, (_, its, kind, obj) in enumerate(fresh, start=first):
                if kind == "CUT" and number >= opened and its in ("*", plural):
                    return self._break()
                if its == plural and matches(obj, namespace, query):
                    if fault is not None and fault.cut_after == sent:
                        return self._break(json.dumps({"type": kind, "object": obj}).encode()[:25])
                    self._event(kind, obj)
                    sent += 1
            if self.api.closing or time.monotonic() >= deadline:
                break
        if self.api.bookmarks and query.get("allowWatchBookmarks") == "true" and fault is None and not code:
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

    def _status(self, code: int, retry_after: int = 0, message: str = "on demand") -> None:
        body = {"kind": "Status", "status": "Failure", "code": code, "reason": f"Code{code}", "message": message}
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


def key_of(obj: Mapping[str, Any]) -> tuple[str, str]:
    """(namespace, name)."""
    return str(obj["metadata"].get("namespace") or ""), str(obj["metadata"]["name"])


def matches(obj: Mapping[str, Any], namespace: str, query: Mapping[str, str]) -> bool:
    """Whether a list or watch is about the object."""
    if namespace and obj["metadata"].get("namespace") != namespace:
        return False
    selector = query.get("fieldSelector", "")
    return not selector or selector == f"metadata.name={obj['metadata']['name']}"
