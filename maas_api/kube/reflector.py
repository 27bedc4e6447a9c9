"""Keeps an ObjectStore equal to what the Kubernetes API holds of one kind: list, watch, resume, relist.

The loop of client-go's reflector, over a transport this service controls:

* a paged list fills the store in one step, so readers never see half of it;
* a watch from the list's resourceVersion follows, with bookmarks, and resumes where it ended;
* the server is asked to end every watch after ``watch_seconds``; a connection that is silent for longer than that is
  dead, whatever TCP thinks;
* 410 Gone, as a status or as an event, means a fresh list, while the store keeps what it has;
* every error waits: exponential, with full jitter above a floor, and never less than the server's Retry-After;
* a kind the cluster does not have is asked for again now and then; one that is removed empties its store, once a
  second look confirms it.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from maas_api.kube.client import Client, KubeError, RefusedError, Stream, UnreachableError
from maas_api.kube.discovery import NOT_FOUND, find_path
from maas_api.kube.objects import FeedState, FeedStatus, Kind, Object, ObjectStore, key_of
from maas_api.kube.trim import trim
from maas_api.observability import metrics

log = logging.getLogger(__name__)

GONE = 410
TOO_MANY = 429


class Timing(NamedTuple):
    """Seconds, unless said otherwise."""

    watch: float = 60.0  # the server ends a watch after this and up to a tenth more, so that not all end together
    slack: float = 10.0  # silence beyond the server's promise that still passes for slowness
    backoff: float = 0.5  # the first wait's upper bound; it doubles with every failure in a row
    backoff_limit: float = 30.0
    absent: float = 30.0  # between two looks for a kind that is not there
    page: int = 500  # objects per page of a list


class GoneError(Exception):
    """The resourceVersion is too old: list again."""


class Reflector:
    """One kind, one thread. ``field_selector`` and ``namespace`` narrow what is watched. Absence of a ``required``
    kind does not count as having read it.

    ``pause(seconds)`` waits and returns whether to stop; ``clock`` and ``jitter`` (a number from 0 to 1) are for tests.
    """

    def __init__(
        self,
        client: Client,
        store: ObjectStore,
        *,
        namespace: str = "",
        field_selector: str = "",
        required: bool = False,
        timing: Timing = Timing(),  # noqa: B008 -- immutable
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        pause: Callable[[float], bool] | None = None,
    ) -> None:
        self._client = client
        self.store = store
        self._kind: Kind = store.kind
        self._required = required
        self._namespace = namespace
        self._selector = {"fieldSelector": field_selector} if field_selector else {}
        self._timing = timing
        self._clock = clock
        self._jitter = jitter
        self._stop = threading.Event()
        self._pause = pause or self._stop.wait
        self._thread: threading.Thread | None = None
        self._stream_lock = threading.Lock()
        self._stream: Stream | None = None
        self._state: FeedState = "waiting"
        self._detail = "not asked yet"
        self._contact = clock()
        self._failures = 0
        self._confirmed_absent = False
        self.path: str | None = None  # where the kind is served, once that is known

    # -- what others see

    @property
    def has_synced(self) -> bool:
        """Whether the store has held the whole state once (a kind the cluster lacks counts)."""
        return self._state != "waiting"

    def status(self) -> list[FeedStatus]:
        """How fresh the store is. An open, quiet watch is in touch: its age counts from the last thing heard."""
        age = max(0.0, self._clock() - self._contact)
        return [FeedStatus(self._kind.plural, self._state, age, self._detail)]

    def complaints(self) -> list[str]:
        """Why it is out of touch, if it is."""
        return [f"{self._kind.plural}: {self._detail}"] if self._state in ("waiting", "stale") else []

    # -- lifecycle

    def start(self) -> None:
        """Begin, in an own thread."""
        metrics.watch_objects.labels(self._kind.plural).read_from(self.store.__len__)
        self._thread = threading.Thread(target=self._run, name=f"reflector-{self._kind.plural}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; a blocked read is interrupted."""
        self._stop.set()
        with self._stream_lock:
            if self._stream is not None:
                self._stream.abort()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _hold(self, stream: Stream) -> None:
        with self._stream_lock:
            self._stream = stream
            if self._stop.is_set():
                stream.abort()

    # -- the loop

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._cycle()
            except GoneError:
                self._lost("resourceVersion too old, listing again", 0.0)
            except KubeError as fault:
                if not self._stop.is_set():
                    self._lost(str(fault), fault.retry_after)
            except Exception as fault:  # the thread must outlive a bug in one round; the store keeps what it has
                log.exception("watching %s failed", self._kind.plural)
                self._lost(type(fault).__name__, 0.0)

    def _cycle(self) -> None:
        """One life of a resourceVersion: list, then watch until an error or a 410."""
        if self.path is None:
            self.path = find_path(self._get, self._kind, self._namespace)
        if self.path is None:
            self._absent()
            return
        self._confirmed_absent = False
        try:
            version = self._list(self.path)
            while not self._stop.is_set():
                version = self._watch(self.path, version)
        except RefusedError as fault:
            if fault.status == NOT_FOUND:  # the kind, or this version of it, was removed
                self.path = None
            raise

    def _lost(self, detail: str, retry_after: float) -> None:
        """Note an error and wait. The store keeps what it has."""
        self._failures += 1
        metrics.watch_restarts.labels(self._kind.plural).inc()
        if self._state != "waiting":
            self._state = "stale"
        if detail != self._detail:
            level = logging.WARNING if self._failures > 1 or retry_after else logging.INFO
            log.log(level, "watch on %s interrupted: %s", self._kind.plural, detail, extra={"kind": self._kind.plural})
        self._detail = detail
        bound = min(self._timing.backoff_limit, self._timing.backoff * 2 ** min(self._failures - 1, 16))
        # A floor of a tenth: pure full jitter may draw a run of near-zero waits, which is a hot loop.
        self._pause(max(retry_after, bound * (0.1 + 0.9 * self._jitter())))

    def _heard(self) -> None:
        self._contact = self._clock()

    def _live(self) -> None:
        if self._state == "stale":
            log.info("watch on %s is back", self._kind.plural, extra={"kind": self._kind.plural})
        self._state, self._detail = "live", ""

    # -- whether there is such a kind

    def _get(self, path: str) -> Any:
        answer = self._client.get(path, holder=self._hold)
        self._heard()
        return answer

    def _absent(self) -> None:
        """The cluster says it does not have the kind."""
        if len(self.store) and not self._confirmed_absent:
            # Objects do not vanish on one answer: it may come from a server that is still starting.
            self._confirmed_absent = True
            self._detail = "the kind is gone, asking again to be sure"
            self._pause(self._timing.backoff)
            return
        if self._required and self._state == "waiting":
            self._detail = "the cluster does not have this kind, and it is switched on"
            self._pause(self._timing.absent * (0.9 + 0.2 * self._jitter()))
            return
        if self._state != "absent":
            log.info("the cluster has no %s.%s", self._kind.plural, self._kind.group, extra={"kind": self._kind.plural})
        self.store.replace(())
        self._state, self._detail, self._failures = "absent", "the cluster does not have this kind", 0
        self._heard()
        self._pause(self._timing.absent * (0.9 + 0.2 * self._jitter()))

    # -- list

    def _list(self, path: str) -> str:
        """Read everything, then replace the store in one step. Returns the list's resourceVersion.

        A continuation that expired starts over, the second time in one piece, which always ends.
        """
        try:
            objects, version = self._pages(path, self._timing.page)
        except GoneError:
            objects, version = self._pages(path, 0)
        self.store.replace(objects)
        self._live()
        metrics.watch_relists.labels(self._kind.plural).inc()
        return version

    def _pages(self, path: str, limit: int) -> tuple[list[Object], str]:
        found: list[Object] = []
        query: dict[str, str] = {**self._selector, **({"limit": str(limit)} if limit else {})}
        while True:
            try:
                page = self._client.get(path, query, holder=self._hold)
            except RefusedError as fault:
                if fault.status == GONE and "continue" in query:
                    raise GoneError from None
                raise
            self._heard()
            metadata = page.get("metadata") if isinstance(page, Mapping) else None
            items = page.get("items") or [] if isinstance(page, Mapping) else None  # null is Go's empty list
            if not isinstance(metadata, Mapping) or not isinstance(items, list):
                raise UnreachableError("the list has no items or metadata")
            found.extend(trim(self._kind, item) for item in items if isinstance(item, Mapping))
            if not metadata.get("continue"):
                return found, str(metadata.get("resourceVersion") or "")
            query["continue"] = str(metadata["continue"])

    # -- watch

    def _watch(self, path: str, version: str) -> str:
        """Follow changes from ``version`` until the server ends the watch. Returns where to go on.

        A watch that breaks, or that the server cannot serve now (429, 5xx), is waited for and resumed from the last
        event. Raises GoneError for 410 and RefusedError for every other refusal: those start over with a list.
        """
        seconds = self._timing.watch * (1 + 0.1 * self._jitter())
        query = {
            **self._selector,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(max(1, round(seconds))),
        }
        began = self._clock()
        at = _Position(version)
        try:
            stream = self._client.open("GET", path, query, read_seconds=max(1, round(seconds)) + self._timing.slack)
            self._hold(stream)
            with stream:
                self._heard()
                self._live()
                for line in stream.lines():
                    self._apply(line, at)
        except RefusedError as fault:
            if fault.status == GONE:
                raise GoneError from None
            if fault.status != TOO_MANY and fault.status < 500:
                raise
            self._lost(str(fault), fault.retry_after)
            return at.version
        except UnreachableError as fault:
            if not self._stop.is_set():
                self._lost(str(fault), 0.0)
            return at.version
        if at.events or self._clock() - began >= 1.0:
            self._failures = 0
        elif not self._stop.is_set():  # a server that ends watches at once must not be asked in a circle
            self._lost("the watch ended at once", 0.0)
        return at.version

    def _apply(self, line: bytes, at: _Position) -> None:
        if not line.strip():
            return
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            raise UnreachableError("a line of the watch is not JSON") from None
        kind, obj = (event.get("type"), event.get("object")) if isinstance(event, Mapping) else (None, None)
        self._heard()
        if kind == "ERROR":
            raise _error_event(obj)
        if not isinstance(obj, Mapping) or kind not in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK"):
            raise UnreachableError(f"an event of the watch is of the unknown type {str(kind)[:40]!r}")
        if kind == "DELETED":
            self.store.delete(key_of(obj))
        elif kind != "BOOKMARK":
            self.store.upsert(trim(self._kind, obj))
        version = (obj.get("metadata") or {}).get("resourceVersion")
        if version:
            at.version = str(version)
        at.events += 1
        self._failures = 0


class _Position:
    """How far a watch has come."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.events = 0


def _error_event(status: Any) -> Exception:
    code = status.get("code") if isinstance(status, Mapping) else None
    if code == GONE:
        return GoneError()
    reason = str(status.get("reason") or "") if isinstance(status, Mapping) else ""
    message = str(status.get("message") or "") if isinstance(status, Mapping) else ""
    return RefusedError(code if isinstance(code, int) else 500, reason or "ERROR event", message[:500])
