"""Child processes in process groups of their own: started with a log, awaited, stopped with everything below them."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


class StartError(Exception):
    """Something did not come up. The message says what and why, with the end of its log."""


class Child:
    """One program, its descendants and its log file. ``start`` again after ``stop`` appends to the same log.

    ``environment`` is all that it inherits.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self.environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The program's process id, and that of its group, while it runs."""
        return None if self._process is None else self._process.pid

    @property
    def running(self) -> bool:
        """Whether the program runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it in a session of its own, so that a Ctrl-C on the terminal reaches only the demo."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 -- our own programs
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
                start_new_session=True,
            )

    def await_ready(self, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until ``ready()``. Raises StartError when the program ends before, or the time is over."""
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.running:
                code = None if self._process is None else self._process.returncode
                raise StartError(f"{self.name} ended with exit code {code}\n{self.tail()}")
            if time.monotonic() > deadline:
                raise StartError(f"{self.name} was not ready within {seconds:g} s\n{self.tail()}")
            time.sleep(0.02)

    def stop(self, grace: float = 5) -> None:
        """SIGTERM to the program; after ``grace`` seconds, or when it is gone, SIGKILL to what is left of its group."""
        if self._process is None:
            return
        process, self._process = self._process, None
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(grace)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def tail(self, lines: int = 15) -> str:
        """The end of the log."""
        try:
            text = self.log.read_text("utf-8", "replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])


def free_port() -> int:
    """A TCP port of 127.0.0.1 that is free now, and that the system will not hand out by itself until it is used.

    Systems choose ports for outgoing connections from 32768 (Linux) or 49152 (RFC 6335) on; these are below.
    """
    for _ in range(1000):
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise StartError("no free port between 20000 and 32000 on 127.0.0.1")


def accepts(port: int) -> bool:
    """Whether something listens on the port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def check_port(port: int) -> None:
    """Raises StartError where nothing of ours may listen on the port of 127.0.0.1.

    Envoy would share a port with whoever has it, and say of one it may not have only what the kernel said.
    """
    if accepts(port):
        raise StartError(f"port {port} is in use already")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as fault:
            hint = ": this user may not, choose one from 1024 on" if isinstance(fault, PermissionError) else ""
            raise StartError(f"cannot listen on port {port}: {fault.strerror}{hint}") from None


def descendants(root: int) -> list[int]:
    """Process ids below ``root``, from /proc; empty on a system without it."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # The command name, in parentheses, may hold anything; the parent is the second field after it.
            parent = int((folder / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(folder.name))
    found, queue = [], [root]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found
