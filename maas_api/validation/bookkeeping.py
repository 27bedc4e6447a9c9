"""What validation leaves behind: last uses, and keys found past their expiry. Written in batches, off its path."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Protocol

from maas_api.observability import metrics

_log = logging.getLogger(__name__)

_BUFFER_MAX: Final = 200_000  # ids kept while the store is down; beyond that the newest are dropped


class Ledger(Protocol):
    """Where the notes go."""

    def record_uses(self, uses: dict[str, datetime]) -> None:
        """Set the last use of each key id, unless a later one is stored."""

    def record_expired(self, key_ids: set[str]) -> None:
        """Store the status ``expired`` for those of the keys that are stored as active and are past their expiry."""


class Bookkeeping:
    """Buffers notes in memory, flushes them every ``flush_seconds`` and when stopped.

    A key's use is noted at most once in ``debounce_seconds``. A flush that fails keeps its notes for the next one.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        debounce_seconds: float,
        flush_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = ledger
        self._debounce = debounce_seconds
        self._flush_seconds = flush_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._noted: dict[str, float] = {}
        self._uses: dict[str, float] = {}
        self._expired: set[str] = set()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def used(self, key_id: str) -> None:
        """Note that a key validated. Costs a dictionary look-up where that is known already."""
        now = self._clock()
        if now - self._noted.get(key_id, -self._debounce) < self._debounce:
            return
        with self._lock:
            if len(self._uses) < _BUFFER_MAX or key_id in self._uses:
                self._noted[key_id] = self._uses[key_id] = now

    def expired(self, key_id: str) -> None:
        """Note that a key was presented after its expiry."""
        with self._lock:
            if len(self._expired) < _BUFFER_MAX:
                self._expired.add(key_id)

    def start(self) -> None:
        """Start flushing."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name="key-bookkeeping", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Flush what is left and stop."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(10)
            self._thread = None

    def flush(self) -> None:
        """Write the notes. Raises whatever the ledger raises; the notes are then kept."""
        with self._lock:
            uses, self._uses = self._uses, {}
            expired, self._expired = self._expired, set()
            horizon = self._clock() - self._debounce
            self._noted = {key_id: at for key_id, at in self._noted.items() if at > horizon}
        try:
            if uses:
                self._ledger.record_uses({key_id: datetime.fromtimestamp(at, UTC) for key_id, at in uses.items()})
                metrics.last_used_flushes.labels("success").inc()
                metrics.last_used_written.inc(len(uses))
                uses = {}
            if expired:
                self._ledger.record_expired(expired)
                expired = set()
        finally:
            with self._lock:
                self._uses = {**uses, **self._uses}
                self._expired |= expired

    def _run(self) -> None:
        stopping = False
        while not stopping:
            stopping = self._stopping.wait(self._flush_seconds)
            metrics.last_used_pending.set(len(self._uses))
            try:
                self.flush()
            except Exception as fault:  # whatever the store's driver raises; the next flush tries again
                metrics.last_used_flushes.labels("failure").inc()
                metrics.store_errors.labels("last_used").inc()
                _log.warning(
                    "last uses could not be written, they are kept for the next attempt",
                    extra={"fault": type(fault).__name__},
                )
