"""Revocations that the store could not take: its disk is full, or it is read-only.

The keys are refused from memory, in every worker of the instance, and the revocation is tried again until the store
takes it. Memory is all that is promised: an instance that restarts before then lets them in again, and the caller was
told so (:mod:`maas_api.keys.service`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Final

from maas_api.observability import metrics

_log = logging.getLogger(__name__)

_RETRY_SECONDS: Final = 1.0
_AT_MOST: Final = 100_000  # ids; a revocation beyond is told that it failed, and nothing more


class Unwritten:
    """The keys refused meanwhile; a lifecycle.Background. ``write`` revokes these keys, raising while it cannot."""

    def __init__(self, write: Callable[[Sequence[str]], object], *, retry_seconds: float = _RETRY_SECONDS) -> None:
        self._write = write
        self._retry_seconds = retry_seconds
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._added = threading.Event()
        self._thread: threading.Thread | None = None
        self.keys: frozenset[str] = frozenset()
        """Their ids. Read without a lock, on every validation."""

    def add(self, key_ids: Sequence[str]) -> None:
        """Refuse these from now on."""
        with self._lock:
            self.keys |= frozenset(key_ids[: _AT_MOST - len(self.keys)])
        metrics.revocations_unwritten.set(len(self.keys))
        self._added.set()

    def start(self) -> None:
        """Start trying."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name="unwritten-revocations", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop trying."""
        self._stopping.set()
        self._added.set()
        if self._thread is not None:
            self._thread.join(2)
            self._thread = None

    def retry(self) -> bool:
        """Try once. Whether nothing is left."""
        keys = self.keys
        if not keys:
            return True
        try:
            self._write(sorted(keys))
        except Exception as fault:  # whatever the store's driver raises; the next attempt comes
            metrics.store_errors.labels("write").inc()
            _log.warning(
                "revocations are still not stored, their keys are refused from memory",
                extra={"keys": len(keys), "fault": type(fault).__name__},
            )
            return False
        with self._lock:
            self.keys -= keys
        metrics.revocations_unwritten.set(len(self.keys))
        _log.info("revocations are stored after all", extra={"keys": len(keys)})
        return not self.keys

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._added.wait()
            self._added.clear()
            while not self._stopping.wait(self._retry_seconds) and not self.retry():
                pass
