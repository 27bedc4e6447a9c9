"""A real OpenTelemetry collector with the rendered configuration, where this machine has one, and a stand-in for it.

``make otelcol`` builds one where there is Go. It is found by ``MAAS_OTELCOL``, in ``.tools`` or on the path.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import yaml
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc

from maas_api.gateway.manifests import Options
from maas_api.gateway.manifests.collector import configuration
from tests.support.kubernetes import ROOT
from tests.support.otlp import HEADERS
from tests.support.ports import free_port
from tests.support.wait import until

SECRET_VARIABLE = "MAAS_USAGE_SECRET"
_NAMES = ("otelcol", "otelcol-k8s", "otelcol-contrib")


def binary() -> Path:
    """The collector's binary; skips the test where there is none."""
    places = [os.environ.get("MAAS_OTELCOL"), ROOT / ".tools" / "otelcol", *map(shutil.which, _NAMES)]
    found = next((Path(place) for place in places if place and Path(place).is_file()), None)
    if found is None:
        pytest.skip("no OpenTelemetry collector here: make otelcol (needs Go) or MAAS_OTELCOL")
    return found


class Collector:
    """The collector's process, to be stopped and started at will. Its queue is in ``folder`` and outlives it."""

    def __init__(self, folder: Path, usage_url: str, secret: str) -> None:
        self._folder, self._secret = folder, secret
        self.address = ("127.0.0.1", free_port())
        self._process: subprocess.Popen[bytes] | None = None
        rendered = configuration(Options())
        rendered["extensions"]["file_storage"]["directory"] = str(folder / "queue")
        rendered["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"] = "{}:{}".format(*self.address)
        rendered["exporters"]["otlphttp"]["logs_endpoint"] = usage_url
        rendered["exporters"]["otlphttp"]["retry_on_failure"]["max_interval"] = "1s"
        rendered["service"]["telemetry"] = {"metrics": {"level": "none"}}
        (folder / "queue").mkdir(parents=True)
        (folder / "config.yaml").write_text(yaml.safe_dump(rendered))

    def start(self) -> None:
        """Start it and wait until it listens."""
        environment = {"PATH": "/usr/bin:/bin", SECRET_VARIABLE: self._secret}
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [binary(), f"--config={self._folder / 'config.yaml'}"], env=environment, stdout=log, stderr=log
            )
        until(self._listens, what="the collector listens", seconds=30)

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(self.address) == 0

    def stop(self, *, kill: bool = False) -> None:
        """End it, at once with ``kill``."""
        if self._process is not None:
            self._process.kill() if kill else self._process.terminate()
            self._process.wait(30)
            self._process = None


class Relay(logs_service_pb2_grpc.LogsServiceServicer):
    """What a collector does when nothing goes wrong: passes each request on, and answers when that was taken."""

    def __init__(self, client: httpx.Client, usage_url: str, secret: str) -> None:
        self._client = client
        self._url = usage_url
        self._headers = {**HEADERS, "X-MaaS-Internal-Secret": secret}

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the service's own name for it
        answer = self._client.post(self._url, content=request.SerializeToString(), headers=self._headers)
        if answer.status_code != 200:
            context.abort(grpc.StatusCode.UNAVAILABLE, answer.text)
        return logs_service_pb2.ExportLogsServiceResponse()


@contextmanager
def relay(usage_url: str, secret: str) -> Iterator[tuple[str, int]]:
    """A running stand-in; yields its address."""
    server = grpc.server(futures.ThreadPoolExecutor(2))
    with httpx.Client(trust_env=False, timeout=10) as client:
        logs_service_pb2_grpc.add_LogsServiceServicer_to_server(Relay(client, usage_url, secret), server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield "127.0.0.1", port
        finally:
            server.stop(0).wait(5)
