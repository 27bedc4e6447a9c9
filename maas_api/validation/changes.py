"""Hearing of changes: one feed per store, each keeping the cache honest and saying how far it has heard."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from maas_api.lifecycle import Background
from maas_api.observability import metrics
from maas_api.store.announcements import CHANNEL, EVERY_KEY, IDS_AT_MOST
from maas_api.store.database import sqlite_connection
from maas_api.validation.cache import VerdictCache
from maas_api.validation.trust import NEVER, Channel

if TYPE_CHECKING:
    import psycopg

_log = logging.getLogger(__name__)

_BEAT_SECONDS: Final = 1.0
_SILENCE_SECONDS: Final = 3.0  # a beat that takes longer means that the channel is half open
_RETRY_SECONDS: Final = (0.1, 2.0)  # first and longest pause between attempts to connect
_STOP_POLL_SECONDS: Final = 0.25


class Changes(Background, Protocol):
    """Carries invalidations into the cache."""

    channel: Channel

    def poll(self) -> None:
        """Take in what can be had at once. Called before every use of the cache; must not block."""


class SqliteChanges:
    """Changes of the embedded store, looked for on every validation.

    ``PRAGMA data_version`` costs 3 microseconds and is exact: a revocation that is committed is in force at the next
    request, in every worker. It moves with any write, so the changes themselves are then read from their table.
    """

    def __init__(self, path: Path, cache: VerdictCache, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._cache = cache
        self._clock = clock
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._version = -1
        self._seen = 0
        self._lost = False
        self.channel = NEVER

    def start(self) -> None:
        """Open the file and note where the changes stand."""
        connection = sqlite_connection(self._path)
        connection.execute("PRAGMA busy_timeout=0")
        self._version = connection.execute("PRAGMA data_version").fetchone()[0]
        self._seen = _newest(connection)
        now = self._clock()
        self.channel = Channel(now, now)
        self._connection = connection
        self._lost = False
        metrics.channel_up.set(1)

    def stop(self) -> None:
        """Close the file."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def poll(self) -> None:
        """Apply the changes committed so far. When the file cannot be read now, the channel counts as unheard."""
        now = self._clock()
        with self._lock:
            if self._connection is None:
                return
            try:
                version = self._connection.execute("PRAGMA data_version").fetchone()[0]
                if version != self._version:
                    self._apply(self._connection)
                    self._version = version
            except sqlite3.Error as fault:
                self._unreadable(fault)
                return
            if self._lost:
                self._lost = False
                metrics.channel_up.set(1)
                _log.info("the embedded store's changes are read again")
        self.channel = Channel(self.channel.since, now)

    def _unreadable(self, fault: sqlite3.Error) -> None:
        """Count it, and say it once for as long as it lasts: this happens on every validation."""
        metrics.store_errors.labels("changes").inc()
        if not self._lost:
            self._lost = True
            metrics.channel_up.set(0)
            metrics.channel_reconnects.inc()
            _log.warning(
                "the embedded store's changes cannot be read", extra={"fault": f"{type(fault).__name__}: {fault}"}
            )

    def _apply(self, connection: sqlite3.Connection) -> None:
        # More than are worth naming are not read: whoever waits for an answer would wait for that.
        rows = connection.execute(
            "SELECT seq, key_id FROM maas_key_changes WHERE seq > ? ORDER BY seq LIMIT ?", (self._seen, IDS_AT_MOST + 1)
        ).fetchall()
        newest = rows[-1][0] if 0 < len(rows) <= IDS_AT_MOST else _newest(connection)
        if newest - self._seen != len(rows) or any(key_id == EVERY_KEY for _seq, key_id in rows):
            self._cache.forget_all()
        elif rows:
            self._cache.forget(key_id for _seq, key_id in rows)
        self._seen = newest


def _newest(connection: sqlite3.Connection) -> int:
    """The last sequence number ever given out; deleted rows count."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'maas_key_changes'").fetchone()
    return 0 if row is None else int(row[0])


class PostgresChanges:
    """Changes by LISTEN on a connection and thread of their own.

    Every second the thread notifies itself: when the note comes back, everything announced before it has arrived too.
    That proves the whole path, through a connection pooler as well, and finds a half-open connection within seconds.
    """

    def __init__(self, url: str, cache: VerdictCache, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._cache = cache
        self._clock = clock
        self._beat = ""
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.channel = NEVER

    def start(self) -> None:
        """Start listening; the channel counts as unheard until the first connection stands."""
        self._beat = f"maas_api_beat_{uuid.uuid4().hex}"  # made after fork: each worker hears its own
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name="key-changes", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(_SILENCE_SECONDS + 2)
            self._thread = None

    def poll(self) -> None:
        """Nothing: changes arrive by themselves."""

    def _run(self) -> None:
        import psycopg  # the driver, where it is the store's

        from maas_api.store.postgres import connect_postgres

        pause = _RETRY_SECONDS[0]
        while not self._stopping.is_set():
            try:
                with connect_postgres(self._url, _SILENCE_SECONDS, "changes", autocommit=True) as connection:
                    for name in (CHANNEL, self._beat):
                        connection.execute(f"LISTEN {name}".encode())
                    now = self._clock()
                    self.channel = Channel(now, now)
                    metrics.channel_up.set(1)
                    pause = _RETRY_SECONDS[0]
                    self._listen(connection)
            except (psycopg.Error, OSError) as fault:
                metrics.channel_up.set(0)
                metrics.channel_reconnects.inc()
                _log.warning("key changes are not heard", extra={"fault": type(fault).__name__, "retry_seconds": pause})
                self._stopping.wait(pause)
                pause = min(pause * 2, _RETRY_SECONDS[1])

    def _listen(self, connection: psycopg.Connection[Any]) -> None:
        asked: float | None = None  # when the beat was sent whose return is awaited
        due = self._clock()
        while not self._stopping.is_set():
            now = self._clock()
            if asked is None and now >= due:
                asked = now
                connection.execute("SELECT pg_notify(%s, '')", (self._beat,))
            elif asked is not None and now - asked > _SILENCE_SECONDS:
                raise TimeoutError("the channel is silent")
            for note in connection.notifies(timeout=_STOP_POLL_SECONDS, stop_after=1):
                if note.channel == self._beat:
                    sent, asked = asked or now, None
                    self.channel = Channel(self.channel.since, sent)
                    due = sent + _BEAT_SECONDS
                    continue
                metrics.notices.inc()
                if note.payload == EVERY_KEY:
                    self._cache.forget_all()
                else:
                    self._cache.forget(note.payload.split(","))
