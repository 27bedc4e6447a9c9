"""One URL against a model's own path: what it costs that the gateway reads which model a body names.

A real Envoy, the service that authorizes, and a server that answers at once, each in a process of its own. The two
sides take turns in one run. On the model's own path a body is looked through for API keys alone: the path says which
model runs.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from bench import services
from bench.machine import percentile, rss, table
from bench.revocation import CALLER
from maas_api.demo.seed import CALLS, LOCAL_NAME
from maas_api.gateway import envoy
from maas_api.gateway.process import EnvoyProcess
from tests.support.ports import free_port

MODEL = CALLS[0].model
SIDES = {"path": f"/llm/{LOCAL_NAME}/v1/chat/completions", "root": "/v1/chat/completions"}
SIZES = {"1 KiB": 1024, "100 KiB": 100 * 1024, "5 MiB": 5 * 1024 * 1024}
AT_ONCE, LARGE = 50, SIZES["5 MiB"]


class Standing(NamedTuple):
    """What runs: the gateway's port, Envoy's process, and a key."""

    port: int
    pid: int
    key: str

    def connect(self) -> http.client.HTTPConnection:
        """A new connection to the gateway."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def headers(self, **more: str) -> dict[str, str]:
        """A call's headers."""
        return {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json", **more}


def run(*, quick: bool) -> None:
    """Measure and print."""
    with _standing() as standing:
        rows = [_sized(standing, name, size, 20 if quick else _rounds(size)) for name, size in SIZES.items()]
        rows += _streamed(standing, 5 if quick else 60)
        print("\nOne URL against the model's own path, through Envoy, one call after the other, sides taking turns\n")
        table(("what", "calls", "path p50 ms", "root p50 ms", "ratio", "path p99 ms", "root p99 ms", "ratio"), rows)
        print(f"\nEnvoy's memory with {AT_ONCE} bodies of 5 MiB at once, each sent but for its last byte\n")
        table(("what", "before MB", "held MB", "after MB", "answers"), [_held(standing, side) for side in SIDES])


def _rounds(size: int) -> int:
    return 150 if size >= LARGE else 1500


def _body(size: int) -> bytes:
    """A chat whose one message fills it, as an image or a long document does. The name stands last: read to the end."""
    frame = json.dumps({"messages": [{"role": "user", "content": ""}], "model": MODEL})
    before, after = frame.split('""', 1)
    text = "".join(string.ascii_letters[number % 52] for number in range(997))
    filling = size - len(frame)
    return f'{before}"{(text * (filling // len(text) + 1))[:filling]}"{after}'.encode()


def _sized(standing: Standing, name: str, size: int, rounds: int) -> tuple[str, ...]:
    body = _body(size)
    took: dict[str, list[float]] = {side: [] for side in SIDES}
    connections = {side: standing.connect() for side in SIDES}
    for number in range(rounds + 10):
        for side in sorted(SIDES, reverse=bool(number % 2)):
            begun = time.perf_counter()
            connections[side].request("POST", SIDES[side], body, standing.headers())
            answer = connections[side].getresponse()
            answer.read()
            if answer.status != 200:
                raise SystemExit(f"POST {SIDES[side]}, {name}: {answer.status}")
            if number >= 10:
                took[side].append(time.perf_counter() - begun)
    for connection in connections.values():
        connection.close()
    return _row(f"a body of {name}", took)


def _streamed(standing: Standing, rounds: int) -> list[tuple[str, ...]]:
    first: dict[str, list[float]] = {side: [] for side in SIDES}
    whole: dict[str, list[float]] = {side: [] for side in SIDES}
    connections = {side: standing.connect() for side in SIDES}
    body = _body(1024)
    for number in range(rounds):
        for side in sorted(SIDES, reverse=bool(number % 2)):
            begun = time.perf_counter()
            connections[side].request("POST", SIDES[side], body, standing.headers(Accept="text/event-stream"))
            answer = connections[side].getresponse()
            answer.read1(16)
            first[side].append(time.perf_counter() - begun)
            answer.read()
            whole[side].append(time.perf_counter() - begun)
    for connection in connections.values():
        connection.close()
    return [_row("a stream's first event", first), _row("its 200 events, 2 ms apart", whole)]


def _row(what: str, took: dict[str, list[float]]) -> tuple[str, ...]:
    cells = [what, str(len(took["path"]))]
    for rank in (50, 99):
        path, root = (percentile(took[side], rank) * 1e3 for side in ("path", "root"))
        cells += [f"{path:.2f}", f"{root:.2f}", f"{root / path:.2f}"]
    return tuple(cells)


def _held(standing: Standing, side: str) -> tuple[str, ...]:
    """Envoy's resident memory while it holds all bodies but their last bytes, and what was answered then."""
    before = rss(standing.pid)
    body = _body(LARGE)
    connections = [standing.connect() for _ in range(AT_ONCE)]
    for connection in connections:
        connection.putrequest("POST", SIDES[side])
        for name, value in standing.headers(**{"Content-Length": str(len(body))}).items():
            connection.putheader(name, value)
        connection.endheaders()
        connection.send(body[:-1])
    time.sleep(1)
    held = rss(standing.pid)
    answers: dict[int, int] = {}
    for connection in connections:
        connection.send(body[-1:])
    for connection in connections:
        answer = connection.getresponse()
        answer.read()
        answers[answer.status] = answers.get(answer.status, 0) + 1
        connection.close()
    held = max(held, rss(standing.pid))
    time.sleep(2)
    cells = [f"{size:.0f}" for size in (before, held, rss(standing.pid))]
    return (f"at the {side}", *cells, ", ".join(f"{count} x {status}" for status, count in answers.items()))


@contextlib.contextmanager
def _standing() -> Iterator[Standing]:
    upstream = free_port()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        process = subprocess.Popen([sys.executable, "-m", "bench.upstream", str(upstream)])
        stack.callback(process.wait)
        stack.callback(process.terminate)
        service = stack.enter_context(
            services.maas(f"sqlite:///{folder / 'keys.db'}", manifests=_manifests(folder, upstream))
        )
        url = f"http://127.0.0.1:{upstream}"
        plan = envoy.Plan(
            listen=envoy.Address("127.0.0.1", 0),
            maas_api=envoy.Upstream.from_url(f"http://127.0.0.1:{service.port}"),
            models=(envoy.LocalRoute(path_prefix=f"/llm/{LOCAL_NAME}/", upstream=envoy.Upstream.from_url(url)),),
        )
        gateway = stack.enter_context(EnvoyProcess(folder / "envoy"))
        gateway.start(plan)
        assert gateway.pid is not None
        yield Standing(gateway.address.port, gateway.pid, _mint(service.port))


def _manifests(folder: Path, upstream: int) -> Path:
    """The demo's in-cluster model, served by the upstream."""
    manifests = folder / "manifests"
    manifests.mkdir()
    file = resources.files("maas_api.demo").joinpath("data", "manifests", "facebook-opt-125m.yaml")
    places = {"model_server": f"http://127.0.0.1:{upstream}", "gateway": "http://127.0.0.1"}
    (manifests / file.name).write_text(string.Template(file.read_text("utf-8")).substitute(places), "utf-8")
    return manifests


def _mint(port: int) -> str:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    client.request("POST", "/v1/api-keys", json.dumps({"name": "bench"}), CALLER)
    key: str = json.loads(client.getresponse().read())["key"]
    client.close()
    return key
