"""Asking the store about keys: one thread, one connection, whatever waits goes into one statement.

Nothing is delayed to fill a batch. While a statement is under way requests gather, and the next statement takes them
all, so a busy worker pays one round trip for many keys and an idle one pays none to wait. Requests for the same key
share one answer.

Where more keys wait than one statement takes, the newest go first: they have the most time left. What has waited beyond
the deadline by then is not asked for any more. Nobody is turned away because statements take long: one more key in the
next statement costs next to nothing, and a refused caller who asks again costs as much as an answered one. Measured
beside four busy loops, turning keys away left a tenth of the good answers.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from maas_api.observability import metrics
from maas_api.validation.cache import Remembered, VerdictCache
from maas_api.validation.reader import Reader, StoreDownError
from maas_api.validation.verdict import Verdict

_log = logging.getLogger(__name__)

_JOINED, _MISS = (metrics.cache_outcomes.labels(outcome) for outcome in ("joined", "miss"))

_BATCH_MAX: Final = 500
_WAITING_MAX: Final = 20_000  # keys under way; more than a worker can answer within its deadline
_RETRY_SECONDS: Final = (0.05, 1.0)  # first and longest pause between attempts to reach a store that is down

Waiter = Callable[[Verdict | None], None]
"""Takes the answer: a verdict, or None when the store could not be asked. Called in the lookup's thread."""


class Lookup:
    """Answers what the cache cannot. While the store is known to be down it says so at once.

    ``deadline``: seconds after which nobody waits for an answer any more.
    """

    def __init__(
        self,
        reader: Reader,
        cache: VerdictCache,
        *,
        deadline: float = float("inf"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reader = reader
        self._cache = cache
        self._deadline = deadline
        self._clock = clock
        self._newest: dict[str, float] = {}  # of each waiting key, when somebody last began to wait for it
        self._wake = threading.Condition()
        self._waiting: dict[str, list[Waiter]] = {}
        self._asked: dict[str, list[Waiter]] = {}
        self._asked_in = 0  # the cache's epoch when the statement under way began
        self._stopping = False
        self._thread: threading.Thread | None = None
        self.down = False

    def start(self) -> None:
        """Start the thread; it connects at once, before the first request needs it."""
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="key-lookup", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Answer what waits, then stop."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join(5)
            self._thread = None

    def ask(self, key_hash: str, waiter: Waiter) -> bool:
        """Have ``waiter`` called with the answer, soon. False when the store is down: then it is not called."""
        with self._wake:
            if self.down or self._stopping or self._thread is None:
                return False
            # A statement that began before the last change may not answer a request that came after it.
            under_way = self._asked.get(key_hash) if self._asked_in == self._cache.epoch else None
            if under_way is not None:
                under_way.append(waiter)
                _JOINED.inc()
                return True
            waiting = self._waiting.get(key_hash)
            if waiting is not None:
                waiting.append(waiter)
                self._newest[key_hash] = self._clock()
                _JOINED.inc()
                return True
            if len(self._waiting) >= _WAITING_MAX:
                return False
            self._waiting[key_hash] = [waiter]
            self._newest[key_hash] = self._clock()
            _MISS.inc()
            if len(self._waiting) == 1:
                self._wake.notify()
            return True

    def _run(self) -> None:
        try:
            self._reader.probe()
        except StoreDownError as fault:
            self._wait_for_store(fault)
        while True:
            with self._wake:
                while not self._waiting and not self._stopping:
                    self._wake.wait()
                if not self._waiting:
                    break
                batch = list(self._waiting)[-_BATCH_MAX:]
                self._asked = {key_hash: self._waiting.pop(key_hash) for key_hash in batch}
                self._asked_in = self._cache.epoch
                for key_hash in batch:
                    del self._newest[key_hash]
                late = self._too_late()
            self._abandon(late)
            try:
                self._answer(batch)
            except StoreDownError as fault:
                self._wait_for_store(fault)
            except Exception:  # a fault of ours, or a row nobody foresaw: these keys get no answer, the next ones do
                _log.exception("lookup failed")
                self._abandon(self._take())
        self._reader.close()

    def _too_late(self) -> dict[str, list[Waiter]]:
        """Of the keys that found no room in this statement, those that nobody waits for any more."""
        if not self._waiting:
            return {}
        began = self._clock() - self._deadline
        late = [key_hash for key_hash, newest in self._newest.items() if newest < began]
        for key_hash in late:
            del self._newest[key_hash]
        return {key_hash: self._waiting.pop(key_hash) for key_hash in late}

    def _answer(self, batch: list[str]) -> None:
        epoch, began = self._asked_in, self._clock()
        try:
            found = self._reader.fetch(batch)
        except StoreDownError:
            if self._clock() - began >= max(_RETRY_SECONDS[0], self._deadline / 2):
                raise
            # It failed with time left: most likely the server had closed the idle connection. A new one may do.
            began = self._clock()
            found = self._reader.fetch(batch)
        metrics.lookups.observe(self._clock() - began)
        for key_hash, verdict in found.items():
            self._cache.put(key_hash, Remembered(verdict, began), epoch)
        for key_hash, waiters in self._take().items():
            _tell(waiters, found[key_hash])

    def _take(self) -> dict[str, list[Waiter]]:
        """Those who wait for the statement under way; from now on nobody can join them."""
        with self._wake:
            asked, self._asked = self._asked, {}
            return asked

    def _abandon(self, asked: dict[str, list[Waiter]]) -> None:
        for waiters in asked.values():
            _tell(waiters, None)

    def _wait_for_store(self, fault: StoreDownError) -> None:
        """Give up on everything that waits, then try until the store answers or the service stops."""
        metrics.store_errors.labels("lookup").inc()
        _log.error("the store does not answer, known keys validate for a while", extra={"fault": str(fault)})
        pause = 0.0  # the first attempt is made at once: it may have been one slow statement
        while True:
            with self._wake:
                self.down = True
                waiting, self._waiting, self._newest = self._waiting, {}, {}
            self._abandon(self._take())
            self._abandon(waiting)
            with self._wake:
                if self._wake.wait_for(lambda: self._stopping, pause):
                    return
            try:
                self._reader.probe()
            except StoreDownError:
                pause = min(max(pause * 2, _RETRY_SECONDS[0]), _RETRY_SECONDS[1])
                continue
            with self._wake:
                self.down = False
            _log.info("the store answers again")
            return


def _tell(waiters: list[Waiter], answer: Verdict | None) -> None:
    for waiter in waiters:
        try:
            waiter(answer)
        except Exception:  # one that cannot take its answer must not cost the others theirs, nor end the thread
            _log.exception("an answer could not be handed on")
