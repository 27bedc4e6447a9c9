"""What a worker's connections share: floods and pipelines cost those who ask one thing at a time next to nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import cast

import pytest
import uvloop

from maas_api.edge.connections.limits import Limits
from maas_api.edge.connections.room import Doorstep, Loss, Room, Standing, Turns, Unspoken, room_of
from tests.support.clockwork import Clockwork


@pytest.fixture
def loop() -> Iterator[Clockwork]:
    made = Clockwork()
    yield made
    made.end()


def test_of_a_thousand_pipelines_a_few_are_begun_at_each_turn_of_the_loop(loop: Clockwork) -> None:
    turns, begun, most, left = Turns(), 0, 0, 600

    def begin() -> None:
        nonlocal begun
        begun += 1

    def another(before: int) -> None:
        """Somebody who asks one thing gets a turn of the loop, again and again."""
        nonlocal most, left
        most, left = max(most, begun - before), left - 1
        if left:
            loop.call_soon(another, begun)

    for _ in range(1000):
        turns.take(loop, begin)
    loop.run(another, 0)
    assert begun == 1000
    assert most <= 2 * Turns.AT_ONCE


def test_pipelines_are_begun_in_the_order_of_their_coming_and_a_new_one_behind_them(loop: Clockwork) -> None:
    turns, told = Turns(), list[int]()
    for number in range(5):
        turns.take(loop, lambda number=number: told.append(number))  # type: ignore[misc]
    loop.run()
    turns.take(loop, lambda: told.append(5))
    loop.run()
    assert told == [0, 1, 2, 3, 4, 5]


def test_who_has_been_silent_the_longest_is_first_and_who_speaks_is_not_among_them() -> None:
    silent: Unspoken[str] = Unspoken()
    for name in "abcd":
        silent.waits(name)
    silent.spoke("b")
    silent.spoke("unknown")
    silent.waits("a")  # its head has begun: it waits from now on
    assert silent.first(2) == ["c", "d"]
    assert silent.first(10) == ["c", "d", "a"]


def test_the_connections_of_one_loop_share_it_and_those_of_another_do_not(loop: Clockwork) -> None:
    other = Clockwork()
    assert isinstance(room_of(loop), Room)
    assert room_of(loop) is room_of(loop)
    assert room_of(other) is not room_of(loop)
    other.end()


class Reader(asyncio.Protocol):
    """What reads a connection once it speaks."""

    made = 0

    def __init__(self, connections: set[object]) -> None:
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


async def answered(reader: asyncio.StreamReader) -> bytes:
    """What comes next; nothing where the connection has ended."""
    try:
        return await asyncio.wait_for(reader.read(100), 20)
    except ConnectionResetError:
        return b""


def test_a_connection_costs_what_a_request_needs_once_it_speaks_and_not_before() -> None:
    limits = Limits(1000, header_seconds=2, request_seconds=5, write_seconds=3, idle_seconds=60, connections=3)
    connections: set[object] = set()
    before = Reader.made

    async def conversations() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: Doorstep(lambda: Reader(connections), connections, limits), "127.0.0.1", 0
        )
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
    limits = Limits(1000, header_seconds=2, request_seconds=5, write_seconds=3, idle_seconds=60, connections=3)
    connections: set[object] = set()

    async def conversations() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: Doorstep(lambda: Reader(connections), connections, limits), "127.0.0.1", 0
        )
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
    limits = Limits(1000, header_seconds=2, request_seconds=5, write_seconds=3, idle_seconds=0.05, connections=3)

    async def conversation() -> None:
        loop = asyncio.get_running_loop()
        made = set[object]()
        server = await loop.create_server(lambda: Doorstep(lambda: Reader(made), made, limits), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
        assert await answered(reader) == b""
        assert made == set()
        writer.close()
        server.close()

    uvloop.run(conversation())
