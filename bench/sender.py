"""Posts usage as a gateway does, from a process of its own: what it takes is not to be seen by who measures."""

from __future__ import annotations

import http.client
import itertools
import multiprocessing
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from multiprocessing.connection import Connection
from typing import Final

from tests.support import otlp
from tests.support.otlp import batch, call

RECORDS: Final = 50
"""Of a batch: some dozens, as Envoy sends them."""
A_SECOND: Final = 20
"""Batches of so many records are a thousand."""
_CONNECTIONS: Final = 8
"""Kept, as by Envoy, which does not wait for one answer before the next batch either."""


class Sender:
    """The process, as it is spoken to."""

    def __init__(self, line: Connection) -> None:
        self._line = line

    @contextmanager
    def sending(self, port: int, seconds: float) -> Iterator[None]:
        """A thousand records a second arrive at a port until the block ends, ``seconds`` at most."""
        self._line.send((port, seconds))
        self._line.recv()  # they are made by now
        yield
        self._line.send(None)
        refused = self._line.recv()
        assert not refused, refused


@contextmanager
def sender(headers: Mapping[str, str]) -> Iterator[Sender]:
    """One that posts with these headers."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_run, args=(theirs, dict(headers)), daemon=True)
    process.start()
    theirs.close()
    yield Sender(ours)
    ours.close()
    process.join(10)


def _run(line: Connection, headers: dict[str, str]) -> None:
    number = 0
    while True:
        try:
            port, seconds = line.recv()
        except EOFError:
            return
        bodies = [made(number + turn) for turn in range(int(seconds * A_SECOND))]
        number += len(bodies)
        line.send(True)
        with ExitStack() as stack:
            connections = [stack.enter_context(closing(_connection(port))) for _ in range(_CONNECTIONS)]
            statuses = _posted(connections, headers, _paced(line, bodies))
        refused = [status for status in statuses if status != 200]
        line.recv()
        line.send(refused)


def _connection(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=30)


def _posted(
    connections: list[http.client.HTTPConnection], headers: Mapping[str, str], bodies: Iterable[bytes]
) -> list[int]:
    """The statuses. A batch is sent when it is its time, not when the one before is answered."""
    statuses, waiting, turns = [], deque[http.client.HTTPConnection](), itertools.cycle(connections)
    for body in bodies:
        if len(waiting) == len(connections):
            statuses.append(_status(waiting.popleft()))
        connection = next(turns)
        _send(connection, headers, body)
        waiting.append(connection)
    return statuses + [_status(connection) for connection in waiting]


def _paced(line: Connection, bodies: list[bytes]) -> Iterator[bytes]:
    begun = time.monotonic()
    for turn, body in enumerate(bodies):
        if line.poll(max(0.0, begun + turn / A_SECOND - time.monotonic())):
            return
        yield body


def made(number: int, records: int = RECORDS, *, of: int = 0) -> bytes:
    """A batch of sender ``of`` that is like no other of theirs with another number."""
    calls = [call(user=f"user-{n % 40}", key_id=f"key-{of}-{n % 50}", model=f"m{n % 5}") for n in range(records)]
    return batch(calls, at=time.time() - number * 0.01)


def post(connection: http.client.HTTPConnection, headers: Mapping[str, str], body: bytes) -> int:
    """The status of the answer."""
    _send(connection, headers, body)
    return _status(connection)


def _send(connection: http.client.HTTPConnection, headers: Mapping[str, str], body: bytes) -> None:
    connection.request("POST", "/internal/v1/usage", body, {**otlp.HEADERS, **headers})


def _status(connection: http.client.HTTPConnection) -> int:
    answer = connection.getresponse()
    answer.read()
    return answer.status
