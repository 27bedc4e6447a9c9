"""Keeps the tables of usage in shape: next month's partition, old batches and old sums."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

import sqlalchemy as sa

from maas_api.observability import metrics
from maas_api.usage.statements.ledger import Ledger

_log = logging.getLogger(__name__)

EVERY_SECONDS = 900.0


class Keeper:
    """A thread that looks every quarter of an hour, from one such time after the start on. Each worker has one: what
    they do is done once, whoever comes first."""

    def __init__(self, ledger: Ledger, retention_days: int, *, every_seconds: float = EVERY_SECONDS) -> None:
        """``retention_days``: how long sums are kept, 0 for ever."""
        self._ledger = ledger
        self._retention = timedelta(days=retention_days) if retention_days else None
        self._every = every_seconds
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start looking."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name="usage-keeper", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop; what is being deleted is finished first."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(10)
            self._thread = None

    def look(self) -> None:
        """Do what is due. Raises sqlalchemy.exc.SQLAlchemyError."""
        gone = self._ledger.forget(None if self._retention is None else self._ledger.now() - self._retention)
        if gone:
            _log.info("old usage was deleted", extra={"parts": gone})

    def _run(self) -> None:
        while not self._stopping.wait(self._every):
            try:
                self.look()
            except sa.exc.SQLAlchemyError as fault:
                metrics.store_errors.labels("usage").inc()
                _log.warning("old usage was not deleted, it will be tried again", extra={"fault": type(fault).__name__})
