"""Batches taken in by a process of their own, one beside each worker that is sent any.

A thousand records a second keep an interpreter busy for a tenth of its time, and validations would wait for it. The
process is started by the first batch, and again by a later one after it has ended, whyever that was. Until it is ready,
and while it gets no processor, the worker takes batches in itself.
"""

from __future__ import annotations

import itertools
import logging
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import maas_api
from maas_api.usage.intake.batch import NotStoredError, Taken
from maas_api.usage.intake.here import Here
from maas_api.usage.intake.messages import Batch, Failed, Malformed, Order, Outcome
from maas_api.usage.otlp import OtlpError
from maas_api.usage.prices import PriceBook

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

ANSWER_SECONDS: Final = 15.0
"""A process that has not answered for so long is ended. The store's own limits are shorter."""
LATE_SECONDS: Final = 0.5
"""It takes what processor the rest of the machine leaves. Behind a batch that has waited for so long there is none, and
the next ones are the worker's."""
_CHILD: Final = "maas_api.usage.intake.child"
_AGAIN_SECONDS: Final = 1.0  # from one start to the next, at least
_FAILED_SECONDS: Final = 60.0  # where the last one never came to be ready
_END_SECONDS: Final = 5

_log = logging.getLogger(__name__)


class Apart:
    """Has batches taken in elsewhere. Safe from any thread, and never waits in the caller's."""

    def __init__(self, order: Order, here: Here, prices: Callable[[], PriceBook]) -> None:
        """``here`` takes in what comes before the process is ready. ``prices``: what calls cost now."""
        self._order = order
        self._here = here
        self._prices = prices
        self._lock = threading.Lock()
        self._helper: _Helper | None = None
        self._again_at = 0.0
        self._stopped = False

    def start(self) -> None:
        """Nothing: many services are never sent usage."""

    def stop(self) -> None:
        """End the process, once it has taken in what it was sent."""
        with self._lock:
            self._stopped = True
            helper, self._helper = self._helper, None
        if helper is not None:
            helper.end()

    def submit(self, body: bytes, encoding: str = "") -> Future[Taken]:
        """What will have become of a batch. The future raises OtlpError and NotStoredError."""
        helper, now = self._helper, time.monotonic()
        if helper is not None and helper.ready and not helper.ended:
            waited = helper.waited(now)
            if waited <= LATE_SECONDS:
                return helper.submit(body, encoding)
            if waited > ANSWER_SECONDS:
                helper.give_up()
        if (helper is None or helper.ended) and now >= self._again_at:
            self._again_at = now + (_AGAIN_SECONDS if helper is None or helper.ready else _FAILED_SECONDS)
            threading.Thread(target=self._begin, name="usage-begin", daemon=True).start()
        return self._here.submit(body, encoding)

    def _begin(self) -> None:
        with self._lock:
            helper = self._helper
            if self._stopped or not (helper is None or helper.ended):
                return
            if helper is not None:
                helper.end()
                _log.warning("the process that takes usage in has ended; another one is started")
            self._helper = _started(self._order, self._prices)


def _started(order: Order, prices: Callable[[], PriceBook]) -> _Helper | None:
    """The process, None where the machine has no room for one."""
    path = [str(Path(maas_api.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}
    command = [sys.executable, "-m", _CHILD]
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            process = subprocess.Popen(command, stdin=theirs.fileno(), env=environment)  # noqa: S603 -- our module
        except OSError as fault:
            ours.close()
            _log.error("no process could be started to take usage in", extra={"fault": str(fault)})
            return None
    from multiprocessing.connection import Connection  # not before it is needed: most of an import's time

    return _Helper(process, Connection(ours.detach()), order, prices)


class _Waiting(NamedTuple):
    answer: Future[Taken]
    since: float


class _Helper:
    """One such process, and who waits for it. One thread sends and one reads: a process that reads no more holds
    nobody else."""

    def __init__(
        self, process: subprocess.Popen[bytes], line: Connection, order: Order, prices: Callable[[], PriceBook]
    ) -> None:
        self._process = process
        self._line = line
        self._prices = prices
        self._numbers = itertools.count()
        self._waiting: dict[int, _Waiting] = {}
        self._out: queue.SimpleQueue[Order | Batch | None] = queue.SimpleQueue()
        self._out.put(order)
        self.ready = self.ended = False
        self._threads = [
            threading.Thread(target=work, name=f"usage-{name}", daemon=True)
            for name, work in (("send", self._send), ("read", self._read))
        ]
        for thread in self._threads:
            thread.start()

    def waited(self, now: float) -> float:
        """How long the batch that was handed over first has waited, in seconds."""
        oldest = next(iter(list(self._waiting.values())), None)
        return 0.0 if oldest is None else now - oldest.since

    def submit(self, body: bytes, encoding: str) -> Future[Taken]:
        """What will have become of a batch."""
        answer: Future[Taken] = Future()
        number = next(self._numbers)
        self._waiting[number] = _Waiting(answer, time.monotonic())
        self._out.put(Batch(number, body, encoding))
        if self.ended:
            self.give_up()
        return answer

    def end(self) -> None:
        """Say that nothing more will come, and wait for the end."""
        self._out.put(None)
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join()
        self._line.close()

    def _send(self) -> None:
        book: PriceBook | None = None
        while True:
            said = self._out.get()
            try:
                if said is None:
                    with socket.socket(fileno=os.dup(self._line.fileno())) as line:
                        line.shutdown(socket.SHUT_WR)
                    return
                if isinstance(said, Batch) and (now := self._prices()) is not book:
                    self._line.send(now)
                    book = now
                self._line.send(said)
            except OSError:  # half a message may be out: this process is of no use any more
                self.give_up()
                if said is None:
                    return

    def _read(self) -> None:
        while True:
            try:
                number, outcome = self._line.recv()
            except (EOFError, OSError):
                self.give_up()
                return
            self.ready = True
            waiting = self._waiting.pop(number, None)
            if waiting is not None:
                _settle(waiting.answer, outcome)

    def give_up(self) -> None:
        """Whoever waits is told that nothing will come. Their batches are sent again: none of what is known is counted
        twice."""
        self.ended = True
        self._process.kill()  # has ended, but where it did not answer
        while self._waiting:
            with suppress(KeyError):
                _number, waiting = self._waiting.popitem()
                _settle(waiting.answer, Failed("the process that takes usage in has ended"))


def _settle(answer: Future[Taken], outcome: Outcome) -> None:
    if isinstance(outcome, Malformed):
        answer.set_exception(OtlpError(outcome.rule))
    elif isinstance(outcome, Failed):
        answer.set_exception(NotStoredError(outcome.fault))
    else:
        answer.set_result(outcome)
