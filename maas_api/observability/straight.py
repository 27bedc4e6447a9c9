"""Lines that the event loop writes itself, where that cannot make it wait.

A thread that writes must have the interpreter for it, and a busy event loop gives that up between any two callbacks,
for as long as it takes to begin the next: the thread is woken and mostly comes too late. With every request logged that
took half of what a validation takes. But a pipe that is opened anew, for ourselves, need not block: it takes a piece as
a whole or says that it is full.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections import deque
from typing import Final, TextIO

from maas_api.observability import metrics

PIECE_BYTES: Final = 4096
"""What a pipe takes as a whole, or not at all (PIPE_BUF of Linux): so lines of several workers do not run into each
other."""

WAITING_BYTES = 4 * 1024 * 1024
"""So much waits for a reader that stalls; lines beyond it are dropped and counted."""
_PAUSE_SECONDS: Final = 0.02  # a busy service's lines gather


class Straight:
    """The way to a pipe or a terminal. For one event loop."""

    def __init__(self, out: int) -> None:
        """``out``: a file descriptor that does not block."""
        self._out = out
        self._piece: list[bytes] = []
        self._size = 0  # bytes of it
        self._waiting: deque[bytes] = deque()  # pieces, for a reader that stalls
        self._held = 0  # bytes of them
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    def to(cls, out: TextIO) -> Straight | None:
        """A way to it; None where it is a file, which has no other way than to block, or may not be opened anew."""
        try:
            mode = os.fstat(out.fileno()).st_mode
            if not (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
                return None
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            return cls(os.open(f"/proc/self/fd/{out.fileno()}", flags))
        except (OSError, ValueError):
            return None

    def put(self, line: str) -> None:
        """Write a line soon. Call it in the loop."""
        data = line.encode("utf-8", "surrogatepass")
        if self._size + len(data) > PIECE_BYTES:
            self._send()
        self._piece.append(data)
        self._size += len(data)
        if self._timer is None:
            self._loop = asyncio.get_running_loop()
            self._timer = self._loop.call_later(_PAUSE_SECONDS, self._later)

    def close(self) -> str:
        """End; what is not written yet. Call it in the loop."""
        rest = b"".join((*self._waiting, *self._piece))
        if self._timer is not None:
            self._timer.cancel()
        if self._loop is not None and self._waiting:
            self._loop.remove_writer(self._out)
        os.close(self._out)
        return rest.decode("utf-8", "surrogatepass")

    def _later(self) -> None:
        self._timer = None
        self._send()

    def _send(self) -> None:
        lines, size = self._piece, self._size
        if not lines:
            return
        self._piece, self._size = [], 0
        if self._held + size > WAITING_BYTES:
            metrics.log_lines_suppressed.inc(len(lines))
            return
        self._waiting.append(b"".join(lines))
        self._held += size
        if len(self._waiting) == 1 and not self._drain() and self._loop is not None:
            self._loop.add_writer(self._out, self._go_on)

    def _go_on(self) -> None:
        if self._drain() and self._loop is not None:
            self._loop.remove_writer(self._out)

    def _drain(self) -> bool:
        """Whether all that waits is written."""
        while self._waiting:
            piece = self._waiting[0]
            try:
                written = os.write(self._out, piece)
            except BlockingIOError:
                return False
            except OSError:  # nobody reads any more; there is no place to say so
                written = len(piece)
            self._held -= written
            if written == len(piece):
                self._waiting.popleft()
            else:  # a terminal takes less, or a pipe of a line that is longer than a piece
                self._waiting[0] = piece[written:]
        return True
