"""Keeps an ObjectStore equal to what the Kubernetes API holds of one kind: list, watch, resume, relist.

The loop of client-go's reflector, over a transport this service controls:

* a paged list fills the store in one step, so readers never see half of it;
* a watch from the list's resourceVersion follows, with bookmarks, and resumes where it ended;
* the server is asked to end every watch after ``watch_seconds``; a connection that is silent for longer than that is
  dead, whatever TCP thinks;
* 410 Gone, as a status or as an event, means a fresh list, at once, while the store keeps what it has;
* every other error waits (:mod:`.backoff`), and never less than the server's Retry-After;
* a watch that was refused or broken resumes; it counts as back once it was open for a moment without an error;
* a kind the cluster does not have is asked for again now and then; one that is removed empties its store, once a
  second look confirms it.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from maas_api.kube import events, paging
from maas_api.kube.backoff import FORBIDDEN, Backoff, Timing, comes_back, may_resume
from maas_api.kube.client import Client, KubeError, RefusedError, Stream
from maas_api.kube.discovery import NOT_FOUND, find_path
from maas_api.kube.events import GONE, GoneError
from maas_api.kube.objects import FeedState, FeedStatus, Kind, Object, ObjectStore, key_of
from maas_api.kube.trim import trim
from maas_api.observability import metrics

log = logging.getLogger(__name__)


class Reflector:
    """One kind, one thread. ``field_selector`` and ``namespace`` narrow what is watched. Absence of a ``required``
    kind does not count as having read it. An ``optional`` kind holds nothing up where this service may not read it.
    ``label``: what it goes by in states and metrics, where two watch one kind; "" for the kind.

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
        optional: bool = False,
        label: str = "",
        timing: Timing = Timing(),  # noqa: B008 -- immutable
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        pause: Callable[[float], bool] | None = None,
    ) -> None:
        self._client = client
        self.store = store
        self._kind: Kind = store.kind
        self._label = label or store.kind.plural
        self._required = required
        self._optional = optional
        self._namespace = namespace
        self._selector = {"fieldSelector": field_selector} if field_selector else {}
        self._timing = timing
        self._clock = clock
        self._jitter = jitter
        self._backoff = Backoff(timing, jitter)
        self._stop = threading.Event()
        self._pause = pause or self._stop.wait
        self._thread: threading.Thread | None = None
        self._stream_lock = threading.Lock()
        self._stream: Stream | None = None
        self._state: FeedState = "waiting"
        self._detail = "not asked yet"
        self._contact = clock()
        self._confirmed_absent = False
        self.path: str | None = None  # where the kind is served, once that is known

    # -- what others see

    @property
    def has_synced(self) -> bool:
        """Whether the store has held the whole state once (a kind the cluster lacks counts)."""
        return self._state not in ("waiting", "refused")

    def status(self) -> list[FeedStatus]:
        """How fresh the store is. An open, quiet watch is in touch: its age counts from the last thing heard."""
        age = max(0.0, self._clock() - self._contact)
        return [FeedStatus(self._label, self._state, age, self._detail)]

    def complaints(self) -> list[str]:
        """Why it is out of touch, if it is."""
        return [f"{self._label}: {self._detail}"] if self._state not in ("live", "absent") else []

    # -- lifecycle

    def start(self) -> None:
        """Begin, in an own thread."""
        metrics.watch_objects.labels(self._label).read_from(self.store.__len__)
        self._thread = threading.Thread(target=self._run, name=f"reflector-{self._label}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; a blocked read is interrupted."""
        self._stop.set()
        with self._stream_lock:
            if self._stream is not None:
                self._stream.abort()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _hold(self, stream: Stream | None) -> None:
        with self._stream_lock:
            self._stream = stream
            if stream is not None and self._stop.is_set():
                stream.abort()

    # -- the loop

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._cycle()
            except GoneError:
                self._lost("resourceVersion too old, listing again", self._backoff.gone())
            except KubeError as fault:
                if not self._stop.is_set():
                    self._failed(fault)
            except Exception as fault:  # the thread must outlive a bug in one round; the store keeps what it has
                log.exception("watching %s failed", self._label)
                self._lost(type(fault).__name__, self._backoff.refused())

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

    def _failed(self, fault: KubeError) -> None:
        """Note that the server did not answer or refused, and wait."""
        if not isinstance(fault, RefusedError) or comes_back(fault.status):
            self._lost(str(fault), self._backoff.unanswered(fault.retry_after))
            return
        wait = self._backoff.refused(fault.retry_after)
        if self._optional and self._state == "waiting" and fault.status == FORBIDDEN and self._backoff.refused_for_good:
            self._state = "refused"
        self._lost(str(fault), wait)

    def _lost(self, detail: str, wait: float) -> None:
        """Note an error and wait so many seconds. The store keeps what it has."""
        metrics.watch_restarts.labels(self._label).inc()
        if self._state not in ("waiting", "refused"):
            self._state = "stale"
        if detail != self._detail:
            level = logging.WARNING if self._backoff.failures > 1 or wait > 1 else logging.INFO
            log.log(level, "watch on %s interrupted: %s", self._label, detail, extra={"kind": self._label})
        self._detail = detail
        if wait:
            self._pause(wait)

    def _heard(self) -> None:
        self._contact = self._clock()

    def _live(self) -> None:
        before, self._state, self._detail = self._state, "live", ""
        if before in ("stale", "refused"):
            log.info("watch on %s is back", self._label, extra={"kind": self._label})

    def _get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        answer = self._client.get(path, query, holder=self._hold)
        self._heard()
        return answer

    def _slim(self, obj: Object) -> Object:
        return trim(self._kind, obj)

    # -- whether there is such a kind

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
            log.info("the cluster has no %s.%s", self._kind.plural, self._kind.group, extra={"kind": self._label})
        self.store.replace(())
        self._state, self._detail = "absent", "the cluster does not have this kind"
        self._backoff.succeeded()
        self._heard()
        self._pause(self._timing.absent * (0.9 + 0.2 * self._jitter()))

    # -- list

    def _list(self, path: str) -> str:
        """Read everything, then replace the store in one step. Returns the list's resourceVersion.

        A continuation that expired starts over, the second time in one piece, which always ends.
        """
        try:
            objects, version = paging.read(self._get, path, self._selector, self._timing.page, self._slim)
        except GoneError:
            objects, version = paging.read(self._get, path, self._selector, 0, self._slim)
        self.store.replace(objects)
        self._live()
        metrics.watch_relists.labels(self._label).inc()
        return version

    # -- watch

    def _watch(self, path: str, version: str) -> str:
        """Follow changes from ``version`` until the server ends the watch. Returns where to go on.

        A watch that breaks, that the server cannot serve now (429, 5xx) or forbids (which may be a server that has not
        loaded its rules) is waited for and resumed from the last event. Raises GoneError for 410, and RefusedError for
        every other refusal and for one that lasts: those start over with a list.
        """
        seconds = round(self._timing.watch * (1 + 0.1 * self._jitter())) or 1
        query = {
            **self._selector,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(seconds),
        }
        at = _Position(version)
        try:
            self._follow(path, query, at, seconds + self._timing.slack)
        except KubeError as fault:
            if self._lived(at):
                self._backoff.succeeded()
            if isinstance(fault, RefusedError):
                if fault.status == GONE:
                    raise GoneError from None
                if not may_resume(fault.status) or self._backoff.refused_for_good:
                    raise
            if not self._stop.is_set():
                self._failed(fault)
            return at.version
        if self._lived(at):
            self._backoff.succeeded()
        elif not self._stop.is_set():  # a server that ends watches at once must not be asked in a circle
            self._lost("the watch ended at once", self._backoff.refused())
        return at.version

    def _follow(self, path: str, query: Mapping[str, str], at: _Position, silence: float) -> None:
        """Take in events until the server ends the watch. Raises KubeError and GoneError."""
        stream = self._client.open("GET", path, query, read_seconds=silence)
        self._hold(stream)
        at.opened = self._clock()
        try:
            with stream, self._settling(stream):
                self._heard()
                for line in stream.lines():
                    if line.strip():
                        self._apply(line, at)
        finally:
            self._hold(None)

    def _lived(self, at: _Position) -> bool:
        return at.events > 0 or (at.opened is not None and self._clock() - at.opened >= 1.0)

    def _settling(self, stream: Stream) -> AbstractContextManager[None]:
        if self._state != "stale":
            return nullcontext()
        return _Soon(self._timing.settle, lambda: self._settled(stream))

    def _settled(self, stream: Stream) -> None:
        """A resumed watch is open and nothing was wrong with it: a version that is too old is said at once."""
        with self._stream_lock:
            if self._stream is stream and self._state == "stale":
                self._live()

    def _apply(self, line: bytes, at: _Position) -> None:
        self._heard()
        event = events.read(line)
        if event.type == "DELETED":
            self.store.delete(key_of(event.object))
        elif event.type != "BOOKMARK":
            self.store.upsert(trim(self._kind, event.object))
        at.version = event.version or at.version
        at.events += 1
        self._backoff.succeeded()
        if self._state == "stale":
            self._live()


class _Position:
    """How far a watch has come."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.events = 0
        self.opened: float | None = None


class _Soon(AbstractContextManager[None]):
    """Calls ``action`` after ``seconds``, from another thread, unless the block has ended by then."""

    def __init__(self, seconds: float, action: Callable[[], None]) -> None:
        self._timer = threading.Timer(seconds, action)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
