"""Batches stored together: those that come close behind one another are one transaction.

They mostly add to the same rows, so that the database writes each row once for all of them. Nobody is told that a batch
was taken before it is committed; one that comes alone does not wait.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from maas_api.usage.intake.batch import Intake, NotStoredError, Taken
from maas_api.usage.intake.messages import Failed
from maas_api.usage.rollup import Folded

GATHER_SECONDS: Final = 0.2
"""From one transaction to the next, where there is not enough for one before. Gateways wait for seconds."""
MANY: Final = 400
"""Records that are enough, and of which a transaction has no more than ten times as many: it is to be short."""
_MOST: Final = 10 * MANY

Answer = Callable[[int, Taken | Failed], None]


class _Waiting(NamedTuple):
    number: int
    batch: Folded


class Together:
    """One thread that stores batches. Safe from any."""

    def __init__(self, intake: Intake, answer: Answer) -> None:
        """``answer`` is called with a batch's number and what became of it."""
        self._intake = intake
        self._answer = answer
        self._change = threading.Condition()
        self._waiting: list[_Waiting] = []
        self._records = 0
        self._ended = False
        self._next_at = 0.0
        self._thread = threading.Thread(target=self._work, name="usage-store")
        self._thread.start()

    def put(self, number: int, batch: Folded) -> None:
        """Have a batch stored."""
        with self._change:
            self._waiting.append(_Waiting(number, batch))
            self._records += batch.counted
            if len(self._waiting) == 1 or self._records >= MANY:
                self._change.notify()

    def stop(self) -> None:
        """Store what waits, at once, and end."""
        with self._change:
            self._ended = True
            self._change.notify()
        self._thread.join()

    def _work(self) -> None:
        while some := self._gathered():
            self._next_at = time.monotonic() + GATHER_SECONDS
            self._store(some)

    def _gathered(self) -> list[_Waiting]:
        """The next ones to be stored together; empty when it ends."""
        with self._change:
            self._change.wait_for(lambda: self._waiting or self._ended)
            self._change.wait_for(self._enough, max(0.0, self._next_at - time.monotonic()))
            taken, records = 0, 0
            while taken < len(self._waiting) and (not taken or records < _MOST):
                records += self._waiting[taken].batch.counted
                taken += 1
            some, self._waiting = self._waiting[:taken], self._waiting[taken:]
            self._records -= records
        return some

    def _enough(self) -> bool:
        return self._ended or self._records >= MANY

    def _store(self, some: list[_Waiting]) -> None:
        try:
            outcomes: Sequence[Taken | Failed] = self._intake.store([waiting.batch for waiting in some])
        except Exception as fault:  # also a fault of ours: whoever waits is told, by its name alone
            if len(some) > 1 and not (isinstance(fault, NotStoredError) and fault.away):
                for waiting in some:  # one that cannot be stored is not to fail the others
                    self._store([waiting])
                return
            outcomes = [Failed(str(fault) if isinstance(fault, NotStoredError) else type(fault).__name__)] * len(some)
        for waiting, outcome in zip(some, outcomes, strict=True):
            self._answer(waiting.number, outcome)
