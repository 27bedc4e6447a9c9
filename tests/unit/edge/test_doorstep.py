"""A connection costs what a request needs once it makes one, and not before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import uvloop
from uvicorn.server import ServerState

from maas_api.edge.connections.doorstep import Doorstep, House
from maas_api.edge.connections.limits import Limits
from maas_api.edge.connections.questions import Questions
from maas_api.edge.connections.room import Loss, Standing, room_of


class Reader(asyncio.Protocol):
    """What reads a connection once it speaks."""

    made = 0

    def __init__(self, connections: set[object], _out: Callable[[bytes], bool]) -> None:
        Reader.made += 1
        self._since = Reader.made
        self._connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connections.add(self)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        cast(asyncio.WriteTransport, self._transport).write(data.upper())

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)

    def standing(self) -> Standing | None:
        return Standing(Loss.IDLE, self._since)

    def give_way(self) -> None:
        self._transport.close()

    def shutdown(self) -> None:
        self._transport.close()


def house(state: ServerState, idle_seconds: float = 60) -> House:
    """One where nothing is answered on the doorstep, with room for three."""
    seconds = {"header_seconds": 2.0, "request_seconds": 5.0, "write_seconds": 3.0, "idle_seconds": idle_seconds}
    limits = Limits(1000, **seconds, connections=3)
    held = cast(set[object], state.connections)
    room = room_of(asyncio.get_running_loop())
    return House(state, limits, room, Questions(1000), lambda: None, lambda out: Reader(held, out))


async def answered(reader: asyncio.StreamReader) -> bytes:
    """What comes next; nothing where the connection has ended."""
    try:
        return await asyncio.wait_for(reader.read(100), 20)
    except ConnectionResetError:
        return b""


def test_a_connection_costs_what_a_request_needs_once_it_speaks_and_not_before() -> None:
    state = ServerState()
    connections = cast(set[object], state.connections)
    before = Reader.made

    async def conversations() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Doorstep(house(state)), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await answered(silent[0][0]) == b"", "the one that has been silent the longest gives way"
        writer.write(b"a first ")
        assert await answered(reader) == b"A FIRST "
        writer.write(b"and a second time")
        assert await answered(reader) == b"AND A SECOND TIME"
        assert (Reader.made - before, len(connections)) == (1, 3)
        for one in list(connections):
            one.shutdown()  # type: ignore[attr-defined]  # as uvicorn calls each of them
        assert await answered(reader) == b""
        silent[1][1].write(b"late")  # it was on its way when the worker was told to stop
        assert await answered(silent[1][0]) == b"LATE"
        assert [await answered(one) for one, _ in silent[1:]] == [b"", b""]
        assert Reader.made - before == 2
        server.close()
        for _, one in (*silent, (reader, writer)):
            one.close()

    uvloop.run(conversations())
    assert connections == set()


def test_where_all_have_spoken_and_idle_they_give_way_to_a_new_one() -> None:
    state = ServerState()
    connections = cast(set[object], state.connections)

    async def conversations() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Doorstep(house(state)), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        talks = []
        for _ in range(5):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"hello")
            assert await answered(reader) == b"HELLO", "a new one is let in"
            talks.append((reader, writer))
        assert len(connections) == 3
        assert [await answered(reader) for reader, _ in talks[:2]] == [b"", b""]
        for _, writer in talks:
            writer.close()
        server.close()

    uvloop.run(conversations())


def test_a_connection_that_never_speaks_is_ended() -> None:

    async def conversation() -> None:
        loop = asyncio.get_running_loop()
        state = ServerState()
        server = await loop.create_server(lambda: Doorstep(house(state, idle_seconds=0.05)), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
        assert await answered(reader) == b""
        assert state.connections == set()
        writer.close()
        server.close()

    uvloop.run(conversation())
