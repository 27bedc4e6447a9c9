"""Work that may take long, off the event loop: one thread, its time bounded, taking turns between owners.

What one client sends must not slow the others down. A body that has to be parsed is parsed here: at most a share of a
core goes into it, since while Python parses, the event loop waits; and whoever sends many waits behind himself, since
each turn goes to the next owner.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

SHARE = 0.2
"""Of one core's time, what the work may take at the most."""
WAITING_EACH = 8
"""Pieces of work that may wait for one owner."""
WAITING = 256
"""Pieces of work that may wait in all."""


class Busy(Exception):  # noqa: N818 - names the state, like LookupError
    """Too much of it waits already."""


class Lane:
    """A lifecycle.Background. ``rest`` waits for so many seconds or until told to stop; tests replace it."""

    def __init__(self, *, share: float = SHARE, clock: Callable[[], float] = time.perf_counter) -> None:
        self._resting = 1 / share - 1  # seconds of rest for each of work
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: OrderedDict[str, deque[tuple[Future[Any], Callable[[], Any]]]] = OrderedDict()
        self._count = 0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name="body-lane", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop; what waits is abandoned, whoever asked has a deadline of his own."""
        self._stopping.set()
        with self._changed:
            self._changed.notify()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(2)

    def submit(self, owner: str, work: Callable[[], T]) -> Future[T]:
        """Have ``work`` done in its owner's turn. Raises Busy."""
        future: Future[T] = Future()
        with self._changed:
            mine = self._waiting.get(owner)
            if self._count >= WAITING or (mine is not None and len(mine) >= WAITING_EACH):
                raise Busy
            if mine is None:
                mine = self._waiting[owner] = deque()
            mine.append((future, work))
            self._count += 1
            self._changed.notify()
        return future

    def _next(self) -> tuple[Future[Any], Callable[[], Any]] | None:
        """The next owner's first piece; waits for one. None when stopping."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping.is_set())
            if self._stopping.is_set():
                return None
            owner, mine = self._waiting.popitem(last=False)
            found = mine.popleft()
            self._count -= 1
            if mine:
                self._waiting[owner] = mine  # behind the others
            return found

    def _run(self) -> None:
        while (found := self._next()) is not None:
            future, work = found
            begun = self._clock()
            try:
                future.set_result(work())
            except Exception as fault:  # whoever waits for it decides what it means
                future.set_exception(fault)
            self._stopping.wait((self._clock() - begun) * self._resting)
