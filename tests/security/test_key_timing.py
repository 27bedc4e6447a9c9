"""How long an answer takes says nothing about a key: the store and the cache see only its hash."""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path

import httpx

from maas_api.app import Service, build
from maas_api.config import load
from maas_api.wire import Reply, Request
from tests.support.serving import serving

ALICE = {"X-MaaS-Username": "alice", "X-MaaS-Group": '["users"]'}


def test_known_and_unknown_keys_cost_the_same(tmp_path: Path) -> None:
    flags = {
        "sqlite_path": str(tmp_path / "keys.db"),
        "manifests": str(tmp_path),
        "kubernetes": "off",
        "default_subscription": "default",
    }
    service = build(load(flags, {}))
    with serving(service) as base:
        known = httpx.post(f"{base}/v1/api-keys", json={"name": "x"}, headers=ALICE).json()["key"]
        # Well formed, without a checksum (43 characters), one with the known key's id and one with another's.
        near = known.partition("_")[0] + "_" + "Aa0" * 14 + "A"
        far = "sk-oai-ABCDEFGHIJKLMNOP_" + "Aa0" * 14 + "A"
        times = _times(service, {"known": known, "near": near, "far": far})
    medians = {name: statistics.median(found) for name, found in times.items()}
    assert max(medians.values()) < 2 * min(medians.values()), medians


def _times(service: Service, keys: dict[str, str]) -> dict[str, list[float]]:
    """Seconds of each of many answers, by turns: what else the machine does meets all of the keys."""
    found = service.fast.find("POST", "/internal/v1/api-keys/validate")
    assert found is not None
    asked = {
        name: Request("POST", "/internal/v1/api-keys/validate", "", [], json.dumps({"key": key}).encode())
        for name, key in keys.items()
    }
    results: dict[str, list[float]] = {name: [] for name in keys}
    for _ in range(2000):
        for name, request in asked.items():
            begun = time.thread_time()
            answer = found.route(request)
            results[name].append(time.thread_time() - begun)
            if not isinstance(answer, Reply):
                answer.promise.result(5)
    return results
