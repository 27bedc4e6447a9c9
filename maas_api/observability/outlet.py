"""Log lines leave by a thread of their own.

Whoever reads standard output may stall: a full disk under the container runtime, a pager on a terminal. A pipe then
takes 64 KiB more and the next write waits, in the event loop, with every validation behind it. Lines wait here
instead, up to a number; beyond it they are dropped and counted.
"""

from __future__ import annotations

import logging
import queue
import sys
import threading
from typing import TextIO

from maas_api.observability import metrics

LINES_WAITING = 10_000
_LAST_WORDS_SECONDS = 1.0


class Outlet:
    """A lifecycle.Background that takes over what the root logger writes to standard output."""

    def __init__(self) -> None:
        self._lines: queue.Queue[str | None] = queue.Queue(LINES_WAITING)
        self._taken: list[tuple[logging.StreamHandler[TextIO], TextIO]] = []
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Take over."""
        found = [item for item in logging.getLogger().handlers if isinstance(item, logging.StreamHandler)]
        self._taken = [(handler, handler.stream) for handler in found if handler.stream is sys.stdout]
        if not self._taken:
            return
        self._thread = threading.Thread(target=self._run, args=(sys.stdout,), name="log-lines", daemon=True)
        self._thread.start()
        for handler, _ in self._taken:
            handler.setStream(self)  # type: ignore[arg-type]  # of a stream, a handler uses write and flush

    def stop(self) -> None:
        """Give it back, once what waits is written or nobody has taken it for a second."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        for handler, stream in self._taken:
            handler.setStream(stream)
        try:
            self._lines.put(None, timeout=_LAST_WORDS_SECONDS)
        except queue.Full:
            return
        thread.join(_LAST_WORDS_SECONDS)

    def write(self, text: str) -> None:
        """Take a line; never waits."""
        try:
            self._lines.put_nowait(text)
        except queue.Full:
            metrics.log_lines_suppressed.inc()

    def flush(self) -> None:
        """Nothing to wait for."""

    def _run(self, out: TextIO) -> None:
        while (text := self._lines.get()) is not None:
            try:
                out.write(text)
                if self._lines.empty():
                    out.flush()
            except (OSError, ValueError):  # nobody reads any more; there is no place to say so
                continue
        try:
            out.flush()
        except (OSError, ValueError):
            return
