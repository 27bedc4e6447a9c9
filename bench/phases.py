"""The service as a program that says when it has come how far: ``python -m bench.phases serve ...``.

Each line, in the file that BENCH_PHASES names: phase, seconds since the process was made, and its processor time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FILE = "BENCH_PHASES"


def _born() -> float:
    """When the process was made, on the clock that counts from the machine's start."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


_BORN = _born()


def say(what: str) -> None:
    """One line."""
    since = time.clock_gettime(time.CLOCK_BOOTTIME) - _BORN
    with Path(os.environ[FILE]).open("a") as out:
        out.write(f"{what}\t{since:.4f}\t{time.process_time():.4f}\n")


def _after(owner: Any, name: str, what: str) -> None:
    """Say ``what`` whenever a function has returned."""
    function: Callable[..., Any] = getattr(owner, name)

    def told(*given: Any, **named: Any) -> Any:
        try:
            return function(*given, **named)
        finally:
            say(what)

    setattr(owner, name, told)


def main() -> None:
    """Serve."""
    from maas_api.cli import main as command
    from maas_api.cli import serve as _serve  # noqa: F401 -- loaded here, so that the next phase is the imports alone

    say("interpreter and command line")
    import maas_api.server
    from maas_api import asgi, migrations, worker

    say("imports")
    _after(migrations, "upgrade", "schema")
    _after(maas_api.server.Server, "_build", "assembly, and the heap frozen")
    _after(asgi.Entry, "__init__", "fork, in the worker")
    _after(asgi.Entry, "_start", "parts started")
    _after(worker.Worker, "_serves", "listening")
    command()


if __name__ == "__main__":
    main()
