"""The registry's last good document: in force while the newest one cannot be read, in every worker of every replica.

A worker that saw the good document has it in memory; one that started later has not. So each good document is kept in
the store, and while the newest is broken every worker asks the store for it, again and again: they all list the same,
whichever of them was there when it was good. The newest good one wins; a document that was deleted is forgotten.

Nothing here waits: the catalog tells and asks in passing, one thread talks to the store. If that cannot be reached, a
worker goes on with what it remembers itself.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from maas_api.kube.objects import Object, origin_of
from maas_api.models.model import Problem
from maas_api.models.shelf import Place

log = logging.getLogger(__name__)

INTERVAL = 1.0
"""Seconds between two looks at the store while a document is broken, and between two tries to keep one."""


class Document(NamedTuple):
    """One state of a registry ConfigMap.

    ``name``: which one, in every process. ``uid`` and ``version`` (the resourceVersion, which an API server counts up)
    are "" and 0 for a file. ``created``: its creationTimestamp. ``text``: the document under the key ``models``.
    """

    name: str
    uid: str
    version: int
    created: str
    text: str

    def as_object(self, like: Object) -> Object:
        """The ConfigMap that it was, with the name and namespace of what is there now."""
        metadata = {**(like.get("metadata") or {}), "creationTimestamp": self.created}
        return {**like, "metadata": metadata, "data": {"models": self.text}}


class Outdated(NamedTuple):
    """A registry whose newest document cannot be read: why, and the one in force instead (None: nothing is)."""

    problem: Problem
    document: Document | None

    @property
    def in_force(self) -> str | None:
        """How an operator knows that document."""
        if self.document is None:
            return None
        return f"resourceVersion {self.document.version}" if self.document.version else "an older state of the file"


class Documents(Protocol):
    """Where documents are kept. Every method may raise anything that the store's driver does."""

    def read(self, name: str) -> Document | None:
        """The one that is kept, None without one."""

    def keep(self, document: Document) -> None:
        """Keep it, unless a newer state of the same object is."""

    def forget(self, name: str, version: int) -> None:
        """Drop it, unless it is newer than ``version``."""


class _Nowhere:
    """Keeps nothing."""

    def read(self, name: str) -> Document | None:
        return None

    def keep(self, document: Document) -> None:
        pass

    def forget(self, name: str, version: int) -> None:
        pass


class LastGood:
    """What is in force for each broken place. ``kept`` may be left out: then this process remembers for itself.

    Places are the catalog's. The four methods it calls never wait; :meth:`start` begins the thread that does.
    """

    def __init__(
        self,
        kept: Documents | None = None,
        *,
        interval: float = INTERVAL,
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        self._kept: Documents = _Nowhere() if kept is None else kept
        self._shared = kept is not None
        self._interval = interval
        self._failed = failed
        self._changed: Callable[[Place], None] = lambda place: None
        self._lock = threading.Lock()
        self._good: dict[Place, Document] = {}
        self._broken: dict[Place, Document] = {}  # the newest state, which cannot be read
        self._unasked: set[Place] = set()  # broken, and the store has not been asked for them yet
        self._to_do: dict[str, Document | int] = {}  # by name: to be kept, or (a version) to be forgotten
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._unreachable = False
        self._thread: threading.Thread | None = None

    # -- what the catalog tells and asks

    def follow(self, changed: Callable[[Place], None]) -> None:
        """Call ``changed`` with each place whose document in force is another one now."""
        self._changed = changed

    def took(self, place: Place, obj: Object) -> None:
        """This state is good."""
        document = _document(obj)
        with self._lock:
            self._broken.pop(place, None)
            self._unasked.discard(place)
            if self._good.get(place) == document:
                return
            self._good[place] = document
            self._to_do[document.name] = document
        self._wake.set()

    def in_force(self, place: Place, obj: Object) -> Document | None:
        """This state cannot be read: what is in force instead, as far as is known now."""
        with self._lock:
            if place not in self._broken:
                self._unasked.add(place)
            self._broken[place] = _document(obj)
            found = self._good.get(place)
        self._wake.set()
        return found

    def gone(self, place: Place) -> None:
        """The object was deleted: nothing is in force, and nothing shall be when it comes back broken."""
        with self._lock:
            seen = self._broken.pop(place, None) or self._good.get(place)
            self._good.pop(place, None)
            self._unasked.discard(place)
            if seen is not None:
                self._to_do[seen.name] = seen.version
        self._wake.set()

    @property
    def settled(self) -> bool:
        """Whether the store was asked, or could not be, for each broken document."""
        return not self._shared or not self._unasked

    # -- the thread

    def start(self) -> None:
        """Begin to talk to the store."""
        if self._shared:
            self._thread = threading.Thread(target=self._run, name="registry-documents", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stopping.is_set():
            with self._lock:
                busy = bool(self._broken or self._to_do)
            self._wake.wait(self._interval if busy else None)
            self._wake.clear()
            self.look()
            if self._unreachable:
                self._stopping.wait(self._interval)  # what is told meanwhile does not make the tries more frequent

    def look(self) -> None:
        """Do what is to be done in the store, then ask it for what is in force."""
        with self._lock:
            to_do, self._to_do = self._to_do, {}
        for name, what in to_do.items():
            done = self._attempt(self._do, name, what)
            if not done:
                with self._lock:
                    self._to_do.setdefault(name, what)
        with self._lock:
            broken = dict(self._broken)
        for place, now in broken.items():
            self._attempt(self._ask, place, now.name)
            self._unasked.discard(place)

    def _do(self, name: str, what: Document | int) -> None:
        if isinstance(what, Document):
            self._kept.keep(what)
        else:
            self._kept.forget(name, what)

    def _ask(self, place: Place, name: str) -> None:
        found = self._kept.read(name)
        with self._lock:
            held = self._good.get(place)
            if place not in self._broken or found is None or found == held:
                return
            if held is not None and held.version > found.version and held.uid == found.uid:
                self._to_do[name] = held  # the others have not seen it
                return
            self._good[place] = found
        self._changed(place)

    def _attempt(self, action: Callable[..., None], *arguments: Any) -> bool:
        try:
            action(*arguments)
        except Exception as fault:  # whatever the driver raises: what is remembered stays in force
            self._failed()
            if not self._unreachable:
                log.warning("registry documents cannot be kept or read now: %s", type(fault).__name__)
            self._unreachable = True
            return False
        self._unreachable = False
        return True


def _document(obj: Object) -> Document:
    metadata: Mapping[str, Any] = obj.get("metadata") or {}
    came = origin_of(obj)
    name = f"{metadata.get('namespace') or ''}/{metadata.get('name') or ''}"
    version = str(metadata.get("resourceVersion") or "")
    text = (obj.get("data") or {}).get("models")
    return Document(
        name if came is None else f"{came.file}: {name}",
        str(metadata.get("uid") or ""),
        int(version) if version.isascii() and version.isdigit() and len(version) < 19 else 0,
        str(metadata.get("creationTimestamp") or ""),
        text if isinstance(text, str) else "",
    )
