"""Log lines leave by a thread of their own.

Whoever reads standard output may stall: a full disk under the container runtime, a pager on a terminal. A pipe then
takes 64 KiB more and the next write waits, in the event loop, with every validation behind it. Lines wait here
instead, up to a number; beyond it they are dropped and counted.

The thread writes what has gathered while it wrote, whole lines in pieces that a pipe takes at once: so lines of several
workers do not run into each other, and each write lets the event loop have the interpreter. Access lines, of which
there may be one a request, the loop writes itself where it can (:mod:`~maas_api.observability.straight`): they may be a
moment before or behind the others.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TextIO

from maas_api.observability import metrics
from maas_api.observability.logs import JsonFormatter
from maas_api.observability.straight import PIECE_BYTES, Straight

LINES_WAITING = 10_000
APART_WAITING = 9_000
"""Up to here lines are taken that the thread makes: they inform, and leave room for those that say what was done."""
_PAUSE_SECONDS: Final = 0.02  # between two looks: a busy service's lines gather, a single one waits for nothing
_LAST_WORDS_SECONDS = 1.0

Line = str | tuple[Callable[[Any], str], Any]
"""A line, or who makes it and of what."""


class Outlet:
    """A lifecycle.Background that takes over what the root logger writes to standard output."""

    def __init__(self) -> None:
        self._lines: deque[Line] = deque()
        self._taken: list[tuple[logging.StreamHandler[TextIO], TextIO]] = []
        self._thread: threading.Thread | None = None
        self._straight: Straight | None = None
        self._json = False
        self._waits = True  # whether the thread has to be woken
        self._wake = threading.Event()
        self._ending = threading.Event()

    def start(self) -> None:
        """Take over."""
        found = [item for item in logging.getLogger().handlers if isinstance(item, logging.StreamHandler)]
        self._taken = [(handler, handler.stream) for handler in found if handler.stream is sys.stdout]
        if not self._taken:
            return
        self._json = all(isinstance(handler.formatter, JsonFormatter) for handler, _ in self._taken)
        self._straight = Straight.to(sys.stdout) if self._json else None
        self._ending.clear()
        self._thread = threading.Thread(target=self._run, args=(sys.stdout,), name="log-lines", daemon=True)
        self._thread.start()
        for handler, _ in self._taken:
            handler.setStream(self)  # type: ignore[arg-type]  # of a stream, a handler uses write and flush

    def leave(self) -> None:
        """What waits in the event loop goes to the thread, and all that comes. Call it in the loop, before its end."""
        straight, self._straight = self._straight, None
        rest = straight.close() if straight is not None else ""
        if rest:
            self.write(rest)

    def stop(self) -> None:
        """Give it back, once what waits is written or nobody has taken it for a second."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        for handler, stream in self._taken:
            handler.setStream(stream)
        self._ending.set()
        self._wake.set()
        thread.join(_LAST_WORDS_SECONDS)

    def write(self, text: str) -> None:
        """Take a line; never waits."""
        self._put(text, LINES_WAITING)

    def apart(self, make: Callable[[Any], str], of: Any) -> bool:
        """Take a line that ``make`` makes ``of`` something; never waits. ``make`` must not raise. Call it in the loop.

        False where there is no thread, or lines are not JSON: nothing is taken then.
        """
        if self._thread is None or not self._json:
            return False
        if self._straight is not None:
            self._straight.put(make(of))
            return True
        self._put((make, of), APART_WAITING)
        return True

    def flush(self) -> None:
        """Nothing to wait for."""

    def _put(self, line: Line, most: int) -> None:
        if len(self._lines) >= most:
            metrics.log_lines_suppressed.inc()
            return
        self._lines.append(line)
        if self._waits:
            self._waits = False
            self._wake.set()

    def _run(self, out: TextIO) -> None:
        while not self._ending.is_set():
            self._wake.wait()
            self._wake.clear()
            while self._lines:
                self._empty(out)
                self._ending.wait(_PAUSE_SECONDS)
            self._waits = True  # whoever comes from now on wakes
            if self._lines:  # who came just before has not
                self._wake.set()
        self._empty(out)

    def _empty(self, out: TextIO) -> None:
        piece: list[str] = []
        size = 0
        while self._lines:
            line = self._lines.popleft()
            text = line if isinstance(line, str) else line[0](line[1])
            taken = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
            if size + taken > PIECE_BYTES and piece:
                _write(out, piece)
                piece, size = [], 0
            piece.append(text)
            size += taken
        _write(out, piece)


def _write(out: TextIO, piece: list[str]) -> None:
    if not piece:
        return
    try:
        out.write("".join(piece))
        out.flush()
    except (OSError, ValueError):  # nobody reads any more; there is no place to say so
        return
