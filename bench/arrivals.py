"""Connections that come together at a worker that is busy: how long until each has been answered."""

from __future__ import annotations

import contextlib
import selectors
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench import load, services, stores
from bench.machine import percentile, table
from bench.services import VALIDATE, Running

TOGETHER = 64
KEPT = (0, 64)
"""Connections that ask all the while, as fast as they are answered."""
PAUSE_SECONDS = 0.1


def run(*, quick: bool, before: Path | None = None) -> None:
    """Measure and print. ``before``: a checkout of an earlier commit, as one more side."""
    times = 3 if quick else 20
    rows = []
    with stores.postgres() as server, tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        store, keys = server.migrated(), Path(folder) / "keys"
        stores.fill(store, 5_000, keys)
        key = keys.read_text().split()[0]
        sides = {"nothing": stack.enter_context(services.ceiling())}
        sides["ours"] = stack.enter_context(services.maas(store, ACCESS_LOG_SAMPLE="0"))
        if before is not None:
            root = before.resolve()
            sides["before"] = stack.enter_context(services.maas(store, root=root, ACCESS_LOG_SAMPLE="0"))
        for kept in KEPT:
            found: Mapping[str, list[list[float]]] = {name: [] for name in sides}
            for name, running in sides.items():
                with _asking(running, keys, kept):
                    for _ in range(times):
                        found[name].append(_burst(running, key))
                        time.sleep(PAUSE_SECONDS)
            for name, bursts in found.items():
                every = [seconds for burst in bursts for seconds in burst]
                last = [max(burst) for burst in bursts]
                numbers = (percentile(every, 50), statistics.median(last), max(last))
                rows.append(
                    (f"{kept} ask" if name == "nothing" else "", name, *(f"{one * 1e3:.1f}" for one in numbers))
                )
    print(f"\nOne worker; {TOGETHER} connections come together and ask one thing each, {times} times\n")
    table(("meanwhile", "side", "p50 ms", "the last ms", "worst ms"), rows)


@contextmanager
def _asking(running: Running, keys: Path, connections: int) -> Iterator[None]:
    """So many connections ask meanwhile."""
    if not connections:
        yield
        return
    load.wrk(running.url, keys, seconds=2, connections=connections)  # what is asked is remembered from now on
    with load.asking(running.url, keys, connections):
        yield


def _burst(running: Running, key: str) -> list[float]:
    """Seconds from the first connection's beginning to the answer of each."""
    body = b'{"key":"%s"}' % key.encode()
    head = (
        f"POST {VALIDATE} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    question, took = head.encode() + body, []
    with selectors.DefaultSelector() as selector, ExitStack() as stack:
        began = time.perf_counter()
        for _ in range(TOGETHER):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                one.connect(("127.0.0.1", running.port))
            selector.register(one, selectors.EVENT_WRITE)
        while selector.get_map():
            ready = selector.select(30)
            if not ready:
                raise SystemExit(f"{len(selector.get_map())} connections were not answered within 30 s")
            for registered, _ in ready:
                sock: socket.socket = registered.fileobj  # type: ignore[assignment]  # only sockets are registered
                if registered.events == selectors.EVENT_WRITE:
                    sock.sendall(question)
                    selector.modify(sock, selectors.EVENT_READ)
                    continue
                if not sock.recv(65536).startswith(b"HTTP/1.1 200"):
                    raise SystemExit("a connection was not answered with 200")
                took.append(time.perf_counter() - began)
                selector.unregister(sock)
    return took
