"""New connections at a worker: one at each turn of its loop while turns are short, more after a long one."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest
import trustme
import uvloop

from maas_api.edge.connections.arrivals import AT_ONCE, TURN_SECONDS, Arrivals

CLIENTS = 40


class Upper(asyncio.Protocol):
    """A conversation, of which ``made`` is told when it begins."""

    def __init__(self, made: Callable[[], None]) -> None:
        self._made = made
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._made()

    def data_received(self, data: bytes) -> None:
        self._transport.write(data.upper())

    def end(self) -> None:
        """Where it has begun."""
        if self._transport:
            self._transport.abort()


class Worker:
    """What a loop did: its turns, each of which takes ``seconds`` by the worker's clock, and how many came in each."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.now = 0.0
        self.came = [0]
        self.made = 0
        self.protocols: list[Upper] = []
        self._enough = (0, asyncio.Event())
        self._ended = False

    def _turn(self) -> None:
        self.now += self._seconds
        self.came.append(0)
        if not self._ended:
            asyncio.get_running_loop().call_soon(self._turn)

    def _protocol(self) -> Upper:
        self.came[-1] += 1
        self.protocols.append(Upper(self._begin))
        return self.protocols[-1]

    def _begin(self) -> None:
        self.made += 1
        count, enough = self._enough
        if self.made == count:
            enough.set()

    @asynccontextmanager
    async def serves(self, listening: socket.socket, **tls: Any) -> AsyncIterator[None]:
        """Let connections in, in turn after turn."""
        arrivals = Arrivals(listening, self._protocol, clock=lambda: self.now, **tls)
        server = await arrivals.listen(500)
        self._turn()
        yield
        server.close()
        await arrivals.close()
        yet = len(self.protocols)
        for one in self.protocols:
            one.end()
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(self.protocols) == yet, "it is closed, and one more came in"
        self._ended = True

    async def until(self, count: int) -> None:
        """So many conversations have begun. Asked before any has."""
        self._enough = count, asyncio.Event()
        await asyncio.wait_for(self._enough[1].wait(), 30)


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=500) as made:
        made.setblocking(False)
        yield made


@pytest.fixture
def clients(listening: socket.socket) -> Iterator[list[socket.socket]]:
    """Connections that came while the loop did something else."""
    with ExitStack() as stack:
        yield [stack.enter_context(socket.create_connection(listening.getsockname())) for _ in range(CLIENTS)]


def turns_until_all_are_in(listening: socket.socket, seconds: float, count: int = CLIENTS) -> Worker:
    worker = Worker(seconds)

    async def serve() -> None:
        async with worker.serves(listening):
            await worker.until(count)

    uvloop.run(serve())
    return worker


@pytest.mark.usefixtures("clients")
def test_while_turns_are_short_one_comes_in_at_each_so_that_workers_share_what_comes(listening: socket.socket) -> None:
    worker = turns_until_all_are_in(listening, TURN_SECONDS / 2)
    assert sum(worker.came) == CLIENTS
    assert max(worker.came) == 1


@pytest.mark.usefixtures("clients")
def test_after_a_long_turn_as_many_come_in_as_in_short_ones(listening: socket.socket) -> None:
    worker = turns_until_all_are_in(listening, 20 * TURN_SECONDS)
    assert sum(worker.came) == CLIENTS
    assert 19 <= max(worker.came) <= 22
    assert len([came for came in worker.came if came]) <= 4


def test_however_long_a_turn_was_a_flood_does_not_all_come_in_at_once(listening: socket.socket) -> None:
    count = 3 * AT_ONCE
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(socket.create_connection(listening.getsockname()))
        worker = turns_until_all_are_in(listening, 1000 * TURN_SECONDS, count)
    assert AT_ONCE <= max(worker.came) <= AT_ONCE + 1


def test_they_are_answered_however_they_came_in(listening: socket.socket, clients: list[socket.socket]) -> None:
    worker = Worker(10 * TURN_SECONDS)

    async def serve() -> list[bytes]:
        loop = asyncio.get_running_loop()
        answers = []
        async with worker.serves(listening):
            await worker.until(CLIENTS)
            for number, client in enumerate(clients):
                client.setblocking(False)
                await loop.sock_sendall(client, b"number %d" % number)
                answers.append(await loop.sock_recv(client, 100))
        return answers

    assert uvloop.run(serve()) == [b"NUMBER %d" % number for number in range(CLIENTS)]


@pytest.mark.usefixtures("clients")
def test_once_it_is_closed_no_more_come_in_and_those_on_their_way_are_in(listening: socket.socket) -> None:
    worker = Worker(3 * TURN_SECONDS)

    async def serve() -> None:
        async with worker.serves(listening):
            await worker.until(1)

    uvloop.run(serve())
    assert 1 < len(worker.protocols) < CLIENTS
    assert worker.made == len(worker.protocols)


def test_over_tls_they_come_in_too_and_one_that_does_not_speak_it_is_turned_away(
    listening: socket.socket, clients: list[socket.socket]
) -> None:
    authority = trustme.CA()
    ours, theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.issue_cert("127.0.0.1").configure_cert(ours)
    authority.configure_trust(theirs)
    worker = Worker(10 * TURN_SECONDS)
    faults: list[dict[str, object]] = []

    async def talk(client: socket.socket) -> bytes:
        client.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=client, ssl=theirs, server_hostname="127.0.0.1")
        writer.write(b"hello")
        answer = await reader.read(100)
        writer.close()
        return answer

    async def serve() -> tuple[list[bytes], bytes]:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: faults.append(context))
        odd = clients[-1]
        odd.setblocking(False)
        async with worker.serves(listening, tls=ours, handshake_seconds=20.0, parting_seconds=0.5), asyncio.timeout(60):
            await loop.sock_sendall(odd, b"GET / HTTP/1.1\r\n\r\n")
            answers = await asyncio.gather(*map(talk, clients[:-1]))
            try:
                while said := await loop.sock_recv(odd, 100):
                    assert b"HTTP" not in said  # at most an alert of TLS
            except ConnectionResetError:
                said = b""
        return answers, said

    answers, said = uvloop.run(serve())
    assert answers == [b"HELLO"] * (CLIENTS - 1)
    assert said == b""
    assert [fault for fault in faults if not isinstance(fault.get("exception"), OSError)] == []
