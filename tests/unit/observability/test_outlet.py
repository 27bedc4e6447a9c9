"""A reader of the log that stalls does not stall the service."""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
from collections.abc import Iterator

import pytest

from maas_api.observability import metrics, outlet
from maas_api.observability.logs import JsonFormatter
from maas_api.observability.outlet import PIECE_BYTES, Outlet
from maas_api.observability.redaction import Redactor
from tests.support.wait import until


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    logger = logging.getLogger()
    before, level = logger.handlers[:], logger.level
    yield logger
    logger.handlers[:] = before
    logger.setLevel(level)


def test_a_pipe_that_nobody_reads_costs_lines_and_no_time(
    root: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlet, "LINES_WAITING", 50)
    monkeypatch.setattr(outlet, "_LAST_WORDS_SECONDS", 0.1)
    reader, writer = os.pipe()
    with os.fdopen(writer, "w", encoding="utf-8") as pipe, os.fdopen(reader, encoding="utf-8") as log:
        monkeypatch.setattr(sys, "stdout", pipe)
        root.handlers[:] = [logging.StreamHandler(pipe)]
        root.setLevel("INFO")
        lines = Outlet()
        dropped = metrics.log_lines_suppressed.labels().value
        lines.start()
        writing = lines._thread
        assert writing is not None
        for number in range(500):
            root.info("%05d %s", number, "x" * 1_000)  # half a megabyte: without the thread this would wait for ever
        assert metrics.log_lines_suppressed.labels().value > dropped
        lines.stop()
        assert log.readline().startswith("00000 x")
        # Somebody reads again: the thread writes what waits and ends, and only then the pipe is closed.
        reading = threading.Thread(target=log.read)
        reading.start()
        writing.join(10)
        assert not writing.is_alive()
        pipe.close()
        reading.join(10)
        assert not reading.is_alive()


def test_what_was_said_is_written_before_the_end(root: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()
    monkeypatch.setattr(sys, "stdout", text)
    root.handlers[:] = [logging.StreamHandler(text)]
    root.setLevel("INFO")
    lines = Outlet()
    lines.start()
    for number in range(100):
        root.info("line %d", number)
    lines.stop()
    root.info("after")
    assert text.getvalue().splitlines() == [*(f"line {number}" for number in range(100)), "after"]


class _Pieces(io.StringIO):
    """Keeps what each write got. The first waits until ``read`` is set, as in front of a reader that stalls."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self.read = threading.Event()

    def write(self, text: str) -> int:
        self.pieces.append(text)
        self.read.wait(10)
        return len(text)


def stalled(root: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> _Pieces:
    """A standard output whose reader stalls, and the log's way to it."""
    out = _Pieces()
    monkeypatch.setattr(sys, "stdout", out)
    handler = logging.StreamHandler(out)
    handler.setFormatter(JsonFormatter(Redactor()))
    root.handlers[:] = [handler]
    root.setLevel("INFO")
    return out


def test_a_write_takes_whole_lines_and_as_many_as_a_pipe_takes_at_once(
    root: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = stalled(root, monkeypatch)
    lines = Outlet()
    lines.start()
    said = [f"{number:04d} {'é' * (number % 150)}\n" for number in range(500)] + ["x" * 10_000 + "\n", "end\n"]
    for text in said:
        lines.write(text)
    pieces.read.set()
    lines.stop()
    assert "".join(pieces.pieces) == "".join(said)
    assert all(piece.endswith("\n") for piece in pieces.pieces)
    assert all(len(piece.encode()) <= PIECE_BYTES or piece.count("\n") == 1 for piece in pieces.pieces)
    assert len(pieces.pieces) < len(said) / 5


def test_lines_made_in_the_thread_keep_their_place_among_the_others(
    root: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = stalled(root, monkeypatch)
    lines = Outlet()
    lines.start()
    pieces.read.set()
    made_by: set[int] = set()

    def make(number: int) -> str:
        made_by.add(threading.get_ident())
        return f"{number}\n"

    for number in range(0, 1_000, 2):
        assert lines.apart(make, number)
        lines.write(f"{number + 1}\n")
    lines.stop()
    assert "".join(pieces.pieces).split() == [str(number) for number in range(1_000)]
    assert threading.get_ident() not in made_by


def test_lines_that_inform_leave_room_for_those_that_say_what_happened(
    root: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = stalled(root, monkeypatch)
    monkeypatch.setattr(outlet, "LINES_WAITING", 60)
    monkeypatch.setattr(outlet, "APART_WAITING", 50)
    lines = Outlet()
    lines.start()
    lines.write("first\n")
    until(lambda: pieces.pieces, what="the thread waits for the reader")
    dropped = metrics.log_lines_suppressed.labels().value
    for number in range(200):
        assert lines.apart(str, f"request {number}\n")
    root.info("AUDIT revoke")
    pieces.read.set()
    lines.stop()
    text = "".join(pieces.pieces)
    assert "AUDIT revoke" in text
    assert text.count("request ") == 50
    assert metrics.log_lines_suppressed.labels().value == dropped + 150


def test_a_line_is_not_taken_where_nobody_would_write_it_as_json(
    root: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = io.StringIO()
    monkeypatch.setattr(sys, "stdout", text)
    root.handlers[:] = [logging.StreamHandler(text)]  # for a terminal
    lines = Outlet()
    assert not lines.apart(str, "before\n")
    lines.start()
    assert not lines.apart(str, "text\n")
    lines.stop()
    assert not lines.apart(str, "after\n")
    assert text.getvalue() == ""
