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
from maas_api.observability.outlet import Outlet


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
        lines._lines.put(None)
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
