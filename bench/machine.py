"""What every bench needs to know of the machine: ports, processes, memory, percentiles."""

from __future__ import annotations

import http.client
import os
import platform
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path


def conditions() -> str:
    """The line that goes above every table."""
    load = os.getloadavg()[0]
    return f"Python {platform.python_version()}, {os.cpu_count()} cores, load {load:.1f} at the start"


def wait_for(port: int, path: str, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    """Until ``path`` answers 200. Raises SystemExit when the server ends or takes too long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            client.request("GET", path)
            if client.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            client.close()
        time.sleep(0.1)
    raise SystemExit(f"the server on port {port} did not become ready")


def workers_of(master: int) -> list[int]:
    """The gunicorn workers, by their parent."""
    return [int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()]


def processes_of(master: int) -> list[int]:
    """All of a server: itself, its workers, and what those have started."""
    return [master, *(pid for worker in workers_of(master) for pid in processes_of(worker))]


def cpu(master: int) -> float:
    """Seconds of processor time, user and system, that a server's processes have taken so far."""
    total = 0
    for pid in processes_of(master):
        user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        total += int(user) + int(system)
    return total / os.sysconf("SC_CLK_TCK")


def rss(pid: int) -> float:
    """Resident memory in MB (10^6 bytes)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) * 1024 / 1e6


def pss(pid: int) -> float:
    """A process's share of the machine's memory in MB (10^6 bytes): what several have in common is divided."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) * 1024 / 1e6


def percentile(values: Sequence[float], rank: int) -> float:
    """The value that ``rank`` percent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * rank // 100)]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print aligned columns."""
    widths = [max(len(line[column]) for line in (head, *rows)) for column in range(len(head))]
    for line in (head, ["-" * width for width in widths], *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
