"""Lines the event loop writes itself: whole, in order, and never waiting for whoever reads them."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from maas_api.observability import metrics, straight
from maas_api.observability.logs import JsonFormatter
from maas_api.observability.outlet import Outlet
from maas_api.observability.redaction import Redactor
from maas_api.observability.straight import PIECE_BYTES, Straight


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Both ends; what each write puts in comes out by itself. A test that closes one replaces it."""
    ends = os.pipe2(os.O_NONBLOCK | os.O_DIRECT)
    yield ends
    for end in ends:
        os.close(end)


async def arrived(reader: int, until: str) -> list[str]:
    """What each write put in, to the one that ends so."""
    pieces: list[bytes] = []
    while not pieces or not pieces[-1].endswith(until.encode()):
        try:
            pieces.append(os.read(reader, 1 << 20))
        except BlockingIOError:
            await asyncio.sleep(0.001)
    return [piece.decode() for piece in pieces]


def test_lines_leave_whole_in_order_and_as_many_at_once_as_a_pipe_takes(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    said = [f"{number:04d} {'é' * (number % 150)}\n" for number in range(500)]

    async def talk() -> list[str]:
        way = Straight(os.dup(writer))
        for line in said:
            way.put(line)
        pieces = await asyncio.wait_for(arrived(reader, said[-1]), 20)
        assert way.close() == ""
        return pieces

    pieces = uvloop.run(talk())
    assert "".join(pieces) == "".join(said)
    assert all(piece.endswith("\n") and len(piece.encode()) <= PIECE_BYTES for piece in pieces)
    assert len(pieces) < len(said) / 5


def test_a_single_line_waits_for_no_other(pipe: tuple[int, int]) -> None:
    async def talk() -> None:
        way = Straight(os.dup(pipe[1]))
        for line in ("one\n", "another\n"):
            way.put(line)
            assert await asyncio.wait_for(arrived(pipe[0], line), 20) == [line]
        way.close()

    uvloop.run(talk())


def test_a_reader_that_stalls_costs_lines_and_no_time(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(straight, "WAITING_BYTES", 100_000)
    reader, writer = pipe
    suppressed = metrics.log_lines_suppressed.labels()
    before = suppressed.value

    async def talk() -> str:
        way = Straight(os.dup(writer))
        for number in range(1_000):
            way.put(f"{number:04d} {'x' * 994}\n")  # a megabyte: a write that waits would wait for ever
        await asyncio.sleep(0)
        kept = 1_000 - int(suppressed.value - before)
        assert 100 < kept < 1_000
        text = "".join(await asyncio.wait_for(arrived(reader, "x\n"), 20))
        while text.count("\n") < kept:
            text += "".join(await asyncio.wait_for(arrived(reader, "\n"), 20))
        way.put("the end\n")
        assert await asyncio.wait_for(arrived(reader, "the end\n"), 20) == ["the end\n"]
        way.close()
        return text

    lines = uvloop.run(talk()).splitlines()
    assert all(len(line) == 999 for line in lines)
    numbers = [int(line[:4]) for line in lines]
    assert numbers == sorted(set(numbers))


def test_what_is_not_written_at_the_end_is_given_back(pipe: tuple[int, int]) -> None:
    async def talk() -> str:
        way = Straight(os.dup(pipe[1]))
        for number in range(200):
            way.put(f"{number:04d} {'x' * 994}\n")
        return way.close()

    rest = uvloop.run(talk())
    read = ""
    while True:
        try:
            read += os.read(pipe[0], 1 << 20).decode()
        except BlockingIOError:
            break
    assert [int(line[:4]) for line in (read + rest).splitlines()] == list(range(200))
    assert read
    assert rest


def test_a_reader_that_is_gone_costs_nothing() -> None:
    reader, writer = os.pipe2(os.O_NONBLOCK)
    os.close(reader)

    async def talk() -> None:
        way = Straight(writer)
        for _ in range(100):
            way.put("x" * 1_000 + "\n")
        assert len(way.close()) < PIECE_BYTES

    uvloop.run(talk())


def test_there_is_a_way_to_a_pipe_which_others_write_to_as_before(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], True)
    with os.fdopen(os.dup(pipe[1]), "w") as out:
        assert Straight.to(out) is not None
        assert os.get_blocking(pipe[1])


def test_there_is_none_to_a_file_nor_to_what_is_no_file_at_all(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        assert Straight.to(file) is None
    assert Straight.to(io.StringIO()) is None


def test_the_log_s_lines_take_it_until_the_loop_ends_and_then_the_thread(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = pipe
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    made_by: list[bool] = []

    def make(text: str) -> str:
        try:
            asyncio.get_running_loop()
            made_by.append(True)
        except RuntimeError:
            made_by.append(False)
        return text

    async def talk(lines: Outlet) -> None:
        await asyncio.to_thread(lines.start)
        assert lines.apart(make, "straight\n")
        assert await asyncio.wait_for(arrived(reader, "straight\n"), 20) == ["straight\n"]
        assert lines.apart(make, "waiting\n")
        lines.leave()
        assert lines.apart(make, "behind\n")
        await asyncio.to_thread(lines.stop)

    with os.fdopen(os.dup(writer), "w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        handler = logging.StreamHandler(out)
        handler.setFormatter(JsonFormatter(Redactor()))
        root.handlers[:] = [handler]
        uvloop.run(talk(Outlet()))
    assert "".join(uvloop.run(arrived(reader, "behind\n"))) == "waiting\nbehind\n"
    assert made_by == [True, True, False]
