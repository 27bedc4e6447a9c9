"""What the running service writes while it answers: the access line and the audit line, all of it JSON."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from tests.support.process import USER, Running, running

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def lines(service: Running) -> list[dict[str, Any]]:
    return [json.loads(line) for line in service.log().splitlines()]


def test_every_line_is_json_and_joins_its_request_and_trace(tmp_path: Path) -> None:
    headers = {**USER, "X-Request-ID": "req.7", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    with running(tmp_path, "--workers", "1", "--access-log-sample", "0") as service:
        answer = httpx.post(service.url + "/v1/api-keys", json={"name": "x"}, headers=headers)
        assert (answer.status_code, answer.headers["x-request-id"]) == (201, "req.7")
        key = answer.json()["key"]
        for _ in range(20):
            httpx.post(service.url + "/internal/v1/api-keys/validate", json={"key": key})
        httpx.post(service.url + "/internal/v1/api-keys/validate", json={"key": "sk-oai-a_b"})
        assert service.stop() == 0
        said = lines(service)

    mine = [line for line in said if line.get("request_id") == "req.7"]
    assert {line["message"] for line in mine} == {"AUDIT mint", "request completed"}
    assert {line["trace_id"] for line in mine} == {TRACE}
    audit = next(line for line in mine if line["message"] == "AUDIT mint")
    assert audit["actor"].startswith("sha256:")
    assert "alice" not in json.dumps(said)
    access = next(line for line in mine if line["message"] == "request completed")
    assert access["auth_headers"]["X-MaaS-Username"] == "present"
    assert access["auth_headers"]["Authorization"] == "absent"
    callbacks = [line for line in said if line.get("path", "").endswith("/validate")]
    assert len(callbacks) == 1, "successful callbacks are not written at a share of 0, the refused one is"
    assert {line["level"] for line in said} <= {"debug", "info", "warn"}


def test_where_every_call_has_a_line_each_has_one_and_lines_of_several_workers_stay_whole(tmp_path: Path) -> None:
    with running(tmp_path, "--workers", "2", "--access-log-sample", "1") as service:
        key = httpx.post(service.url + "/v1/api-keys", json={"name": "x"}, headers=USER).json()["key"]

        def validate(caller: int) -> None:
            with httpx.Client(base_url=service.url) as client:
                for number in range(100):
                    told = {"X-Request-ID": f"call-{caller}-{number}"}
                    client.post("/internal/v1/api-keys/validate", json={"key": key}, headers=told)

        with ThreadPoolExecutor(4) as callers:
            list(callers.map(validate, range(4)))
        assert service.stop() == 0
        said = lines(service)
    callbacks = [line for line in said if line.get("path", "").endswith("/validate")]
    assert sorted(line["request_id"] for line in callbacks) == sorted(
        f"call-{caller}-{number}" for caller in range(4) for number in range(100)
    )
    assert {(line["status"], line["tenant_name"]) for line in callbacks} == {(200, "models-as-a-service")}
