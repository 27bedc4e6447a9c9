"""Starting servers to time them: what it took until they were ready, by the clock and in processor time."""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.cluster import write_config
from bench.machine import cpu
from tests.support.ports import free_port

ROOT = Path(__file__).parent.parent


class Took(NamedTuple):
    """Seconds: by the clock, and of the processor (user and system, all processes)."""

    wall: float
    cpu: float


class Started(NamedTuple):
    """A server that said it was ready."""

    process: subprocess.Popen[bytes]
    took: Took


def environment(bytecode: Path | None, **more: str) -> dict[str, str]:
    """For a server whose bytecode is kept in ``bytecode``, or nowhere: every start then compiles what it loads.

    The machine's own habit is left out: where it forbids bytecode, that would be all that is measured.
    """
    found = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    if bytecode is None:
        nowhere = {"PYTHONPYCACHEPREFIX": "/nowhere/at/all", "PYTHONDONTWRITEBYTECODE": "1"}
        return {**found, **nowhere, **more}
    return {**found, "PYTHONPYCACHEPREFIX": str(bytecode), **more}


def command(port: int, folder: Path, *, cluster: str = "", database: str = "", workers: int = 1) -> list[str]:
    """``maas-api serve`` without its program: a folder's SQLite file and nothing else, or what is given."""
    found = ["serve", "--address", f"127.0.0.1:{port}", "--workers", str(workers), "--metrics-port", "0"]
    found += ["--log-level", "error", "--drain-seconds", "0"]
    found += ["--database-url", database] if database else ["--sqlite-path", str(folder / "keys.db")]
    if cluster:
        config = folder / "kubeconfig"
        write_config(cluster, config)
        return [*found, "--kubeconfig", str(config)]
    (folder / "manifests").mkdir(exist_ok=True)
    return [*found, "--kubernetes", "off", "--manifests", str(folder / "manifests")]


@contextmanager
def maas(
    environ: Mapping[str, str],
    *,
    program: Sequence[str] = ("-m", "maas_api"),
    folder: Path | None = None,
    cluster: str = "",
    database: str = "",
    workers: int = 1,
) -> Iterator[Started]:
    """The service, from its launch until ``/readyz`` says 200."""
    with contextlib.ExitStack() as stack:
        place = folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port = free_port()
        line = command(port, place, cluster=cluster, database=database, workers=workers)
        yield stack.enter_context(_ready([*program, *line], port, "/readyz", environ))


@contextmanager
def nothing(environ: Mapping[str, str]) -> Iterator[Started]:
    """gunicorn and Flask with a handler that does nothing."""
    port = free_port()
    line = ["-m", "gunicorn", "bench.apps:idle()", "-w", "1", "-b", f"127.0.0.1:{port}", "--log-level", "error"]
    with _ready([*line, "--no-control-socket"], port, "/", environ) as started:
        yield started


def once(environ: Mapping[str, str], *line: str) -> Took:
    """A program that ends by itself."""
    before, began = os.times(), time.monotonic()
    subprocess.run([sys.executable, *line], env=environ, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    used = after.children_user - before.children_user + after.children_system - before.children_system
    return Took(time.monotonic() - began, used)


@contextmanager
def _ready(line: Sequence[str], port: int, path: str, environ: Mapping[str, str]) -> Iterator[Started]:
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, *line], env=environ, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        while not _says_yes(port, path):
            if process.poll() is not None or time.monotonic() - began > 60:
                raise SystemExit(f"{' '.join(line[:3])} did not become ready")
            time.sleep(0.005)
        yield Started(process, Took(time.monotonic() - began, cpu(process.pid)))
    finally:
        process.terminate()
        process.wait(30)


def _says_yes(port: int, path: str) -> bool:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        client.request("GET", path)
        return client.getresponse().status == 200
    except OSError:
        return False
    finally:
        client.close()
