"""Batches taken in by threads of this process."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from maas_api.usage.intake.batch import Intake, NotStoredError, Taken

AT_ONCE: Final = 4
"""Batches that are taken in at once."""
WAITING_MAX: Final = 64
"""Most batches that wait. They come again, and later is better than a heap that grows while the store is away."""


class Here:
    """Takes batches in, never in the thread that hands them over."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="usage-intake")
        self._room = threading.BoundedSemaphore(WAITING_MAX)

    def start(self) -> None:
        """Nothing: threads come with the first batches."""

    def stop(self) -> None:
        """Take in what was handed over, and no more."""
        self._pool.shutdown()

    def submit(self, body: bytes, encoding: str = "") -> Future[Taken]:
        """What will have become of a batch. The future raises OtlpError and NotStoredError."""
        if not self._room.acquire(blocking=False):
            return _refused("too many batches wait")
        try:
            taking = self._pool.submit(self._intake.take, body, encoding)
        except RuntimeError:  # it has stopped
            self._room.release()
            return _refused("stopping")
        taking.add_done_callback(lambda _taken: self._room.release())
        return taking


def _refused(why: str) -> Future[Taken]:
    refused: Future[Taken] = Future()
    refused.set_exception(NotStoredError(why))
    return refused
