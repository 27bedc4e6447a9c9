"""The real service as its own processes: ``maas-api serve`` under gunicorn, with its output kept."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from tests.support.ports import free_port
from tests.support.wait import until

ROOT = Path(__file__).parents[2]


def _lives(process: psutil.Process) -> bool:
    """Whether it is there, and not only until its parent looks; one that is gone by now is not."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@dataclass
class Running:
    """A started service. ``output`` is the file its two output streams go to."""

    process: subprocess.Popen[bytes]
    port: int
    metrics_port: int
    output: Path
    scheme: str = "http"

    @property
    def url(self) -> str:
        """Base URL of the API."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def log(self) -> str:
        """Everything said so far."""
        return self.output.read_text(errors="replace")

    def workers(self) -> list[int]:
        """Process ids of the workers alive."""
        return [child.pid for child in psutil.Process(self.process.pid).children() if _lives(child)]

    def scrape(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """The metrics page: (sample name, labels) -> value."""
        text = httpx.get(f"http://127.0.0.1:{self.metrics_port}/metrics").text
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that carry these labels."""
        wanted = labels.items()
        return sum(value for (found, having), value in self.scrape().items() if found == name and wanted <= having)

    def stop(self, number: int = signal.SIGTERM, seconds: float = 20) -> int:
        """Signal the master and wait for it. Returns its exit code."""
        self.process.send_signal(number)
        return self.process.wait(seconds)


@contextmanager
def running(
    folder: Path, *flags: str, scheme: str = "http", wait: bool = True, environ: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """Serve over ``folder`` (its SQLite file, its log) until the block ends; waits until it is ready.

    ``environ`` is added to the few variables that the service inherits. A flag given here wins over the usual one.
    """
    port, metrics_port = free_port(), free_port()
    output = folder / "output.log"
    command = [
        sys.executable, "-m", "maas_api", "serve",
        "--address", f"127.0.0.1:{port}",
        "--metrics-address", "127.0.0.1", "--metrics-port", str(metrics_port),
        "--kubernetes", "off",
        "--manifests", str(ROOT / "examples" / "manifests"),
        "--default-subscription", "default",
        "--sqlite-path", str(folder / "keys.db"),
        "--log-format", "json",
        "--drain-seconds", "0",  # nobody has to notice; those of a restart set their own
        "--validation-deadline-ms", "5000",  # tests share the machine; those of the deadline set their own
        *flags,
    ]  # fmt: skip
    inherited = {name: value for name, value in os.environ.items() if re.fullmatch(r"PATH|HOME|LANG|TMPDIR", name)}
    with output.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**inherited, **(environ or {})},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            process_group=0,  # its own, as on a terminal, which signals all of a group at once
        )
    service = Running(process, port, metrics_port, output, scheme)
    try:
        if wait:
            until(lambda: _ready(service), what="the service is ready", seconds=30)
        yield service
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                for one in (*psutil.Process(process.pid).children(recursive=True), process):
                    one.kill()
                process.wait(5)


def _ready(service: Running) -> bool:
    assert service.process.poll() is None, f"the service ended:\n{service.log()}"
    try:
        return httpx.get(f"{service.url}/readyz", verify=False).status_code == 200
    except httpx.TransportError:
        return False


USER = {"X-MaaS-Username": "alice", "X-MaaS-Group": '["users"]'}


def mint(service: Running, name: str = "test", client: httpx.Client | None = None) -> str:
    """A fresh key of alice's."""
    answer = (client or httpx).post(f"{service.url}/v1/api-keys", json={"name": name}, headers=USER)
    assert answer.status_code == 201, answer.text
    key: str = answer.json()["key"]
    return key
