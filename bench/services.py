"""The servers that are measured, each in processes of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.machine import cpu, rss, wait_for, workers_of
from tests.support.ports import free_port

ROOT = Path(__file__).parent.parent
VALIDATE = "/internal/v1/api-keys/validate"


class Running(NamedTuple):
    """A server that answers."""

    port: int
    master: int
    scheme: str = "http"

    @property
    def url(self) -> str:
        """The validation callback."""
        return f"{self.scheme}://127.0.0.1:{self.port}{VALIDATE}"

    @property
    def cpu(self) -> float:
        """Seconds of processor time taken so far, by all its processes."""
        return cpu(self.master)

    @property
    def memory(self) -> float:
        """Resident memory of the largest worker, MB."""
        return max(rss(pid) for pid in workers_of(self.master))


def _environment(store: str, **more: str) -> dict[str, str]:
    flags = {"DATABASE_URL": store, "KUBERNETES": "off", "DEFAULT_SUBSCRIPTION": "bench", "METRICS_PORT": "0"}
    return {**os.environ, **flags, "LOG_LEVEL": "error", "DRAIN_SECONDS": "0", **more}


@contextmanager
def maas(
    store: str, *, workers: int = 1, tls: bool = False, manifests: Path | None = None, root: Path = ROOT, **more: str
) -> Iterator[Running]:
    """The service, as it is served; without ``manifests`` it lists nothing. ``root``: whose checkout it runs from, with
    what is installed there, else with what is here."""
    port = free_port()
    own = root / ".venv" / "bin" / "python"
    python = str(own) if own.exists() else sys.executable
    command = [python, "-m", "maas_api", "serve", "--address", f"127.0.0.1:{port}", "--workers", str(workers)]
    with tempfile.TemporaryDirectory() as nothing:
        command += ["--manifests", str(manifests or nothing), *(["--tls-self-signed"] if tls else [])]
        with started(command, _environment(store, **more), port, "" if tls else "/health", root) as master:
            yield Running(port, master, "https" if tls else "http")


@contextmanager
def ceiling() -> Iterator[Running]:
    """The same server with a handler that does nothing."""
    with _gunicorn("bench.apps:nothing", "-k", "uvicorn_worker.UvicornWorker") as running:
        yield running


@contextmanager
def native_asgi() -> Iterator[Running]:
    """gunicorn's own ASGI worker with the same handler."""
    with _gunicorn("bench.apps:nothing", "-k", "asgi") as running:
        yield running


@contextmanager
def flask_gthread(store: str) -> Iterator[Running]:
    """Flask alone under gunicorn's threaded worker."""
    with tempfile.TemporaryDirectory() as manifests:
        environment = _environment(store, MANIFESTS=manifests)
        options = ("-k", "gthread", "--threads", "8")
        with _gunicorn("bench.apps:flask_alone()", *options, environment=environment) as running:
            yield running


@contextmanager
def granian(store: str) -> Iterator[Running]:
    """The same application under Granian, the optional second server, with TLS and HTTP/2."""
    import trustme  # comes with the extra "demo"

    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        certificate = trustme.CA().issue_cert("127.0.0.1", "localhost")
        chain, key = Path(folder) / "chain.pem", Path(folder) / "key.pem"
        chain.write_bytes(b"".join(pem.bytes() for pem in certificate.cert_chain_pems))
        key.write_bytes(certificate.private_key_pem.bytes())
        command = [sys.executable, "-m", "granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", str(port)]
        command += ["--http", "auto", "--ssl-certificate", str(chain), "--ssl-keyfile", str(key), "--no-ws"]
        command += ["--log-level", "error", "maas_api.asgi:app"]
        with started(command, _environment(store, MANIFESTS=folder), port, "") as master:
            yield Running(port, master, "https")


@contextmanager
def _gunicorn(app: str, *options: str, environment: dict[str, str] | None = None) -> Iterator[Running]:
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", app, "-w", "1", "-b", f"127.0.0.1:{port}", "--log-level", "error"]
    command += ["--keep-alive", "120", "--no-control-socket", *options]
    with started(command, environment or dict(os.environ), port, "/health") as master:
        yield Running(port, master)


@contextmanager
def started(command: list[str], environment: dict[str, str], port: int, path: str, root: Path = ROOT) -> Iterator[int]:
    """The process id of a server, once ``path`` answers (empty: once it listens); what it says is thrown away."""
    process = subprocess.Popen(command, env=environment, cwd=root, stdout=subprocess.DEVNULL)
    try:
        if path:
            wait_for(port, path, process)
        else:
            _wait_for_port(port, process)
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)


def _wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    """Until something listens, for a server whose certificate nobody can check."""
    import ssl
    import time
    import urllib.error
    import urllib.request

    context = ssl._create_unverified_context()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"https://127.0.0.1:{port}/health", context=context, timeout=5):
                return
        except (OSError, urllib.error.URLError):
            time.sleep(0.1)
    raise SystemExit(f"the server on port {port} did not become ready")
