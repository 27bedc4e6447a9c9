"""Load generators: wrk for the highest rate, h2load for HTTP/2 and for a rate that is held."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.machine import percentile

_LUA = """
local bodies = {}
for line in io.lines("KEYS") do bodies[#bodies + 1] = '{"key":"' .. line .. '"}' end
local at = 0
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
FRESH
request = function()
  at = at % #bodies + 1
  return wrk.format(nil, nil, nil, bodies[at])
end
"""
_AN_HOUR = 3600
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


class Load(NamedTuple):
    """What came of it: requests, and a second; latencies in seconds, answers that were not 2xx."""

    rate: float
    p50: float
    p99: float
    failed: int
    requests: int


def need_wrk() -> None:
    """Raises SystemExit that says how to get wrk."""
    if shutil.which("wrk") is None:
        raise SystemExit("make bench drives the servers with wrk, which is not here: apt-get install wrk")


def wrk(url: str, keys: Path, *, seconds: float, connections: int = 64, fresh: bool = False) -> Load:
    """As many validations as go through. ``fresh``: every request on a connection of its own."""
    header = 'wrk.headers["Connection"] = "close"' if fresh else ""
    return _wrk(url, _LUA.replace("KEYS", str(keys)).replace("FRESH", header), seconds, connections)


@contextmanager
def asking(url: str, keys: Path, connections: int) -> Iterator[None]:
    """As many validations as go through, from before this is entered until it is left."""
    lua = _LUA.replace("KEYS", str(keys)).replace("FRESH", "")
    with _command(lua, url, connections, _AN_HOUR) as command:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            time.sleep(1)
            yield
            if process.poll() is not None:
                raise SystemExit("the load generator ended before what was measured beside it")
        finally:
            process.terminate()
            process.wait(10)


@contextmanager
def _command(lua: str, url: str, connections: int, seconds: float) -> Iterator[list[str]]:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(lua)
        script.flush()
        yield ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency", "-s", script.name, url]


def _wrk(url: str, lua: str, seconds: float, connections: int) -> Load:
    with _command(lua, url, connections, seconds) as command:
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    return Load(
        float(_found(r"Requests/sec:\s+([\d.]+)", text)),
        _seconds(_found(r"(?m)^\s+50%\s+(\S+)", text)),  # not the end of another percentage, such as 98.50%
        _seconds(_found(r"(?m)^\s+99%\s+(\S+)", text)),
        int(failed[1]) if failed else 0,
        int(_found(r"(\d+) requests in", text)),
    )


def posts(url: str, headers: Mapping[str, str], *, seconds: float, connections: int = 16) -> Load:
    """As many POSTs with these headers and no body as go through."""
    return wrk_same(url, seconds=seconds, connections=connections, method="POST", headers=headers)


def wrk_same(
    url: str,
    *,
    seconds: float,
    connections: int,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: str = "",
) -> Load:
    """One and the same request, as often as it goes through. 304 counts as an answer."""
    lines = [f"wrk.method = {json.dumps(method)}", *([f"wrk.body = {json.dumps(body)}"] if body else [])]
    lines += [f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in (headers or {}).items()]
    return _wrk(url, "\n".join(lines), seconds, connections)


def h2load(
    url: str, body: Path, *, requests: int, clients: int, rate: float | None = None, http1: bool = False
) -> Load:
    """A number of validations of one key, at ``rate`` a second over all clients where given."""
    with tempfile.NamedTemporaryFile("r", suffix=".log") as log:
        command = ["h2load", "-n", str(requests), "-c", str(clients), "-d", str(body), "--log-file", log.name]
        command += ["-H", "content-type: application/json"]
        command += ["--h1"] if http1 else ["-m", "8"]
        command += [f"--rps={rate / clients:g}"] if rate else []
        text = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
        took = [int(line.split()[2]) / 1e6 for line in log if line.split()[1] == "200"]
    return Load(
        float(_found(r"finished in .*?, ([\d.]+) req/s", text)),
        percentile(took, 50) if took else float("nan"),
        percentile(took, 99) if took else float("nan"),
        requests - len(took),
        requests,
    )


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise SystemExit(f"the load generator said something unexpected:\n{text}")
    return match[1]


def _seconds(text: str) -> float:
    match = re.fullmatch(r"([\d.]+)([a-z]+)", text)
    if match is None:
        return float("nan")
    return float(match[1]) * _UNITS[match[2]]
