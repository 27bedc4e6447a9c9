"""Is it alive, is it ready, and how stale is what it knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from flask import Blueprint

from maas_api.errors import encode


class Check(NamedTuple):
    """One condition of readiness: whether it holds, and what to say about it."""

    ready: bool
    detail: Mapping[str, Any]


class Readiness:
    """Collects the conditions of ``/readyz``. Each is asked at every probe and must answer within a second."""

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


def blueprint(readiness: Readiness) -> Blueprint:
    """``/health`` as the Go service answers it, ``/healthz`` for liveness, ``/readyz`` for readiness."""
    routes = Blueprint("health", __name__)
    json_type = {"Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store"}

    @routes.get("/health")
    def health() -> tuple[bytes, int, dict[str, str]]:
        return encode({"status": "healthy"}), 200, json_type

    @routes.get("/healthz")
    def healthz() -> tuple[bytes, int, dict[str, str]]:
        return encode({"status": "ok"}), 200, json_type

    @routes.get("/readyz")
    def readyz() -> tuple[bytes, int, dict[str, str]]:
        ready, checks = readiness.report()
        return encode({"status": "ready" if ready else "not ready", "checks": checks}), 200 if ready else 503, json_type

    return routes
