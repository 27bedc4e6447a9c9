"""A folder of Kubernetes manifests as a feed: the same state a watch gives, read from files.

The folder is looked at a few times a second instead of by inotify. A mounted ConfigMap swaps a symlink two levels
up and editors replace files by renaming, so a watch on the file's inode goes blind; network file systems send no
events at all. ``stat`` follows symlinks and sees every one of these, and costs microseconds per file.

A change counts once two looks in a row see the same state, so a file is not read while it is being written. A file
that does not parse keeps that file's last good objects.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from maas_api.kube.manifests import ManifestError, parse
from maas_api.kube.objects import FeedStatus, Key, Kind, Manifest, ObjectStore, key_of
from maas_api.observability import metrics

log = logging.getLogger(__name__)

SUFFIXES = (".yaml", ".yml", ".json")
MAX_FILE_BYTES = 64 * 1024 * 1024

Signature = tuple[int, int, int, int, int]
"""Device, inode, size, modification time (ns), status change time (ns: a chmod shows there alone)."""

_UNREAD: Signature = (0, 0, 0, 0, 0)


class FileProblem(NamedTuple):
    """What is wrong in the folder: the file, the line (from 1; 0: the file as a whole), the rule."""

    file: str
    line: int
    rule: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.rule}" if self.line else f"{self.file}: {self.rule}"


class FolderSource:
    """Fills one ObjectStore per kind from the manifests in a folder, and keeps them fresh.

    ``default_namespace`` is given to objects without one, as ``kubectl apply -n`` does. :meth:`load` reads once, in
    the caller's thread; :meth:`start` keeps looking, every ``interval`` seconds.
    """

    def __init__(
        self,
        folder: Path,
        kinds: Sequence[Kind],
        *,
        default_namespace: str,
        interval: float = 0.2,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stores = {kind: ObjectStore(kind) for kind in kinds}
        self._folder = folder
        self._namespace = default_namespace
        self._interval = interval
        self._clock = clock
        self._settled: dict[str, Signature] = {}
        self._previous: dict[str, Signature] | None = None
        self._objects: dict[str, list[Manifest]] = {}
        self._faults: dict[str, FileProblem] = {}
        self._duplicates: tuple[FileProblem, ...] = ()
        self._listeners: list[Callable[[], None]] = []
        self._touched: float | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    # -- what others see

    def status(self) -> list[FeedStatus]:
        """One line for the folder: stale while it cannot be read or a file in it is broken."""
        name = f"manifests {self._folder}"
        if self._touched is None:
            return [FeedStatus(name, "waiting", 0.0, "not read yet")]
        problems = self.problems()
        age = max(0.0, self._clock() - self._touched)
        return [FeedStatus(name, "stale" if self._faults else "live", age, str(problems[0]) if problems else "")]

    def problems(self) -> list[FileProblem]:
        """What is wrong now, in file order."""
        return [self._faults[file] for file in sorted(self._faults)] + list(self._duplicates)

    @property
    def duplicates(self) -> tuple[FileProblem, ...]:
        """Of the problems, objects that are left out because another file defines them too."""
        return self._duplicates

    def complaints(self) -> list[str]:
        """The problems, one line each."""
        return [str(problem) for problem in self.problems()]

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` when the problems change (objects are announced by their stores)."""
        self._listeners.append(callback)

    # -- lifecycle

    def start(self) -> None:
        """Read the folder if that has not been done, then keep looking."""
        if self._touched is None:
            self.load()
        self._thread = threading.Thread(target=self._run, name="manifests", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop looking."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            try:
                self.poll()
            except Exception:  # the thread must outlive a bug in one look; the stores keep what they have
                log.exception("looking at the manifests failed, keeping the last good state")

    # -- reading

    def load(self) -> None:
        """Read everything now, without waiting for files to settle."""
        seen = self._look()
        if seen is not None:
            self._previous = seen
            self._take(seen)

    def poll(self) -> None:
        """One look: read what changed and has been the same for two looks."""
        seen = self._look()
        if seen is None:
            return
        previous, self._previous = self._previous, seen
        if previous is None:
            return
        # A file takes part once both looks agree on it; until then it counts as it was.
        stable = {file: mark for file, mark in seen.items() if previous.get(file) == mark}
        moving = {file: mark for file, mark in self._settled.items() if seen.get(file) != previous.get(file)}
        self._take(stable | moving)

    def _look(self) -> dict[str, Signature] | None:
        """The manifests in the folder now, or None when it cannot be read (what was known is kept)."""
        found: dict[str, Signature] = {}
        try:
            for path in sorted(self._folder.iterdir()):
                if path.suffix not in SUFFIXES or path.name.startswith("."):
                    continue
                try:
                    stat = path.stat()
                except FileNotFoundError:  # gone between the two calls
                    continue
                found[str(path)] = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        except OSError as fault:
            self._report({**self._faults, str(self._folder): FileProblem(str(self._folder), 0, _unreadable(fault))})
            return None
        self._touched = self._clock()
        return found

    def _take(self, marks: dict[str, Signature]) -> None:
        faults = {file: fault for file, fault in self._faults.items() if file in marks}
        changed = [file for file, mark in marks.items() if self._settled.get(file) != mark]
        gone = [file for file in self._settled if file not in marks]
        if not changed and not gone and faults == self._faults:
            return
        for file in gone:
            self._objects.pop(file, None)
        settled = dict(marks)
        for file in changed:
            try:
                self._objects[file] = self._read(file)
                faults.pop(file, None)
            except ManifestError as fault:
                faults[file] = FileProblem(file, fault.line, fault.rule)
            except OSError as fault:  # not the content's fault: try again at the next look
                faults[file] = FileProblem(file, 0, _unreadable(fault))
                settled[file] = _UNREAD
        self._settled = settled
        self._report(faults)
        self._publish()

    def _read(self, file: str) -> list[Manifest]:
        try:
            if Path(file).stat().st_size > MAX_FILE_BYTES:
                raise ManifestError(file, 0, f"must not be larger than {MAX_FILE_BYTES} bytes")
            text = Path(file).read_text(encoding="utf-8")
        except UnicodeDecodeError as fault:
            raise ManifestError(file, 0, f"must be UTF-8 text: {fault.reason} at byte {fault.start}") from None
        found = parse(text, file)
        for obj in found:
            if not obj["metadata"].get("namespace"):
                obj["metadata"] = {**obj["metadata"], "namespace": self._namespace}
        return found

    def _publish(self) -> None:
        taken: dict[tuple[Kind, Key], Manifest] = {}
        duplicates: list[FileProblem] = []
        for file in sorted(self._objects):
            for obj in self._objects[file]:
                kind = next((kind for kind in self.stores if kind.matches(obj["apiVersion"], obj["kind"])), None)
                if kind is None:
                    continue
                first = taken.setdefault((kind, key_of(obj)), obj)
                if first is not obj:
                    duplicates.append(_duplicate(kind, obj, first))
        if tuple(duplicates) != self._duplicates:
            self._duplicates = tuple(duplicates)
            for problem in duplicates:
                log.warning("manifest ignored: %s", problem, extra=problem._asdict())
            self._notify()
        for kind, store in self.stores.items():
            store.replace(obj for (its, _), obj in taken.items() if its == kind)

    def _report(self, faults: dict[str, FileProblem]) -> None:
        if faults == self._faults:
            return
        for file, fault in faults.items():
            if self._faults.get(file) != fault:
                metrics.manifest_errors.inc()
                log.error("manifest not taken, its last good state stays: %s", fault, extra=fault._asdict())
        for file in self._faults.keys() - faults.keys():
            log.info("manifest is good again: %s", file, extra={"file": file})
        self._faults = faults
        self._notify()

    def _notify(self) -> None:
        for callback in tuple(self._listeners):
            callback()


def _duplicate(kind: Kind, obj: Manifest, first: Manifest) -> FileProblem:
    namespace, name = key_of(obj)
    rule = f"{kind.kind} {namespace}/{name} is already defined at {first.origin.file}:{first.origin.line}"
    return FileProblem(obj.origin.file, obj.origin.line, rule)


def _unreadable(fault: OSError) -> str:
    return f"cannot be read: {fault.strerror or fault}"
