"""Is it alive, is it ready, and how stale is what it knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from maas_api.errors import encode
from maas_api.wire import JSON, Reply, Request, RouteTable

_HEADERS = (JSON, (b"cache-control", b"no-store"))


class Check(NamedTuple):
    """One condition of readiness: whether it holds, and what to say about it."""

    ready: bool
    detail: Mapping[str, Any]


class Readiness:
    """Collects the conditions of ``/readyz``. Each is asked at every probe, in the event loop: it must not wait."""

    def __init__(self) -> None:
        self._checks: dict[str, Callable[[], Check]] = {}
        self.draining = False

    def add(self, name: str, check: Callable[[], Check]) -> None:
        """Make ``name`` a condition."""
        self._checks[name] = check

    def report(self) -> tuple[bool, dict[str, Any]]:
        """Whether the service is ready, and each condition's state."""
        results: dict[str, Any] = {}
        ready = not self.draining
        for name, ask in self._checks.items():
            try:
                check = ask()
            except Exception as fault:
                check = Check(False, {"error": type(fault).__name__})
            ready = ready and check.ready
            results[name] = {"ready": check.ready, **check.detail}
        if self.draining:
            results["draining"] = True
        return ready, results


def register(readiness: Readiness, routes: RouteTable) -> None:
    """``/health`` as the Go service answers it, ``/healthz`` for liveness, ``/readyz`` for readiness.

    Fast routes: behind the threads that may all be waiting for a store in trouble, a probe would have the process
    killed that still answers from memory.
    """
    healthy = Reply(200, _HEADERS, encode({"status": "healthy"}))
    alive = Reply(200, _HEADERS, encode({"status": "ok"}))

    def readyz(_request: Request) -> Reply:
        ready, checks = readiness.report()
        body = encode({"status": "ready" if ready else "not ready", "checks": checks})
        return Reply(200 if ready else 503, _HEADERS, body)

    routes.add("GET", "/health", lambda _request: healthy)
    routes.add("GET", "/healthz", lambda _request: alive)
    routes.add("GET", "/readyz", readyz)
