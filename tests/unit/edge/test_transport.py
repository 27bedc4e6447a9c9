"""An answer leaves in one piece where it can, and never later than the event loop's next turn."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, cast

import pytest

from maas_api.edge.connections.transport import JoiningTransport

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"


class Wire:
    """What reaches the socket, in order."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.extra = "the transport's own"

    def write(self, data: bytes) -> None:
        self.events.append(data)

    def writelines(self, pieces: Iterable[bytes]) -> None:
        self.events.append(list(pieces))

    def write_eof(self) -> None:
        self.events.append("eof")

    def close(self) -> None:
        self.events.append("close")

    def abort(self) -> None:
        self.events.append("abort")


def joined() -> tuple[Wire, JoiningTransport]:
    wire = Wire()
    return wire, JoiningTransport(cast(asyncio.Transport, wire), asyncio.get_running_loop())


def test_head_and_body_are_one_write() -> None:
    asyncio.run(_one_write())


async def _one_write() -> None:
    wire, transport = joined()
    for _ in range(2):
        transport.write(HEAD)
        transport.write(b"body")
    await asyncio.sleep(0)
    assert wire.events == [HEAD + b"body"] * 2


def test_a_long_body_is_not_copied_to_be_one_with_its_head() -> None:
    asyncio.run(_long())


async def _long() -> None:
    wire, transport = joined()
    body = b"x" * 100_000
    transport.write(HEAD)
    transport.write(body)
    await asyncio.sleep(0)
    ((head, written),) = wire.events
    assert head == HEAD
    assert written is body


def test_a_stream_s_head_leaves_with_the_loop_s_next_turn() -> None:
    asyncio.run(_stream())


async def _stream() -> None:
    wire, transport = joined()
    transport.write(HEAD)
    assert wire.events == []
    await asyncio.sleep(0)
    assert wire.events == [HEAD]
    transport.write(b"chunk")
    assert wire.events == [HEAD, b"chunk"]


@pytest.mark.parametrize("end", ["close", "write_eof"])
def test_an_end_comes_after_what_was_written(end: str) -> None:
    asyncio.run(_ended(end))


async def _ended(end: str) -> None:
    wire, transport = joined()
    transport.write(HEAD)
    getattr(transport, end)()
    assert wire.events == [HEAD, end.removeprefix("write_")]


def test_everything_else_is_the_transport_s_own() -> None:
    asyncio.run(_own())


async def _own() -> None:
    wire, transport = joined()
    assert transport.extra == wire.extra
    transport.abort()
    assert wire.events == ["abort"]
