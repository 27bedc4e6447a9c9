"""Keeps tables that grow with time in shape: next month's partition, old rows."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import sqlalchemy as sa

from maas_api.observability import metrics

_log = logging.getLogger(__name__)

EVERY_SECONDS = 900.0

Forget = Callable[[datetime | None], int]
"""Forgets what is before a moment (None: only does what is due besides); gives how many parts went."""


class Keeper:
    """A thread that looks every quarter of an hour, from one such time after the start on. Each worker has one: what
    they do is done once, whoever comes first."""

    def __init__(
        self,
        what: str,
        forget: Forget,
        now: Callable[[], datetime],
        retention_days: int,
        *,
        every_seconds: float = EVERY_SECONDS,
    ) -> None:
        """``what``: what is kept, in log lines and as the metric's operation. ``retention_days``: 0 for ever."""
        self._what = what
        self._forget = forget
        self._now = now
        self._retention = timedelta(days=retention_days) if retention_days else None
        self._every = every_seconds
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start looking."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name=f"{self._what}-keeper", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop; what is being deleted is finished first."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(10)
            self._thread = None

    def look(self) -> None:
        """Do what is due. Raises sqlalchemy.exc.SQLAlchemyError."""
        gone = self._forget(None if self._retention is None else self._now() - self._retention)
        if gone:
            _log.info("old %s was deleted", self._what, extra={"parts": gone})

    def _run(self) -> None:
        while not self._stopping.wait(self._every):
            try:
                self.look()
            except sa.exc.SQLAlchemyError as fault:
                metrics.store_errors.labels(self._what).inc()
                _log.warning(
                    "old %s was not deleted, it will be tried again", self._what, extra={"fault": type(fault).__name__}
                )
