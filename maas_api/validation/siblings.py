"""What one worker of an instance changes, the others know before the caller does.

The store's channel tells every worker of every replica within milliseconds, but nothing says when each has heard. So
the workers of one instance tell each other, over sockets in the private folder they share, and the answer to a
revocation waits until each has said that it has forgotten the key. The wait is bounded: a worker that does not answer
is left to the store's channel.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from maas_api.observability import metrics

_log = logging.getLogger(__name__)

PATIENCE_SECONDS: Final = 0.5
"""How long the answer to a revocation waits for the other workers of its instance."""
_HEARD: Final = b"."
_SUFFIX: Final = ".news"

Hear = Callable[[Sequence[str]], None]
"""Takes the ids of keys that have changed."""


class Siblings:
    """One worker's ear and voice; a lifecycle.Background. ``hears``: kind of news -> what to do about it."""

    def __init__(self, folder: Path | None, hears: Mapping[str, Hear], *, patience: float = PATIENCE_SECONDS) -> None:
        """``folder`` None: there are no other workers."""
        self._folder = folder
        self._hears = hears
        self._patience = patience
        self._own: Path | None = None
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to listen. Where no socket can be made the others are told of us by the store alone."""
        if self._folder is None:
            return
        own = self._folder / f"{os.getpid()}-{time.monotonic_ns()}{_SUFFIX}"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(str(own))
            listener.listen(64)
        except OSError as fault:
            listener.close()
            _log.warning("workers of this instance do not hear of each other", extra={"fault": str(fault)})
            return
        self._own, self._socket = own, listener
        self._thread = threading.Thread(target=self._run, args=(listener,), name="siblings", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        listener, self._socket = self._socket, None
        if listener is None:
            return
        if self._own is not None:
            self._own.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        listener.close()
        if self._thread is not None:
            self._thread.join(2)

    def telling(self, kind: str) -> Hear:
        """What takes news of one kind to every worker of the instance, this one first."""

        def tell(key_ids: Sequence[str]) -> None:
            self._hears[kind](key_ids)
            self.tell(kind, key_ids)

        return tell

    def tell(self, kind: str, key_ids: Sequence[str]) -> None:
        """Tell the other workers, and wait until each has heard or the patience is over."""
        if self._folder is None:
            return
        note = json.dumps({"kind": kind, "keys": list(key_ids)}).encode()
        deadline = time.monotonic() + self._patience
        with contextlib.ExitStack() as opened:
            told: list[socket.socket] = []
            for path in self._folder.glob(f"*{_SUFFIX}"):
                if path == self._own:
                    continue
                try:
                    told.append(opened.enter_context(_said(path, note, self._patience)))
                except (ConnectionRefusedError, FileNotFoundError):
                    path.unlink(missing_ok=True)  # of a worker that was killed: nobody listens there any more
                except OSError:
                    metrics.siblings_silent.inc()
            for sock in told:
                if not _heard(sock, deadline):
                    metrics.siblings_silent.inc()

    def _run(self, listener: socket.socket) -> None:
        while True:
            try:
                opened, _ = listener.accept()
            except OSError:  # closed: that is the end
                return
            with opened:
                try:
                    self._take(opened)
                except Exception as fault:  # news that cannot be read must not end the listening; it is not confirmed
                    _log.warning("news of another worker was not understood", extra={"fault": type(fault).__name__})

    def _take(self, opened: socket.socket) -> None:
        opened.settimeout(self._patience)
        parts = []
        while part := opened.recv(65536):
            parts.append(part)
        news = json.loads(b"".join(parts))
        self._hears[news["kind"]](news["keys"])
        opened.sendall(_HEARD)


def _said(path: Path, note: bytes, patience: float) -> socket.socket:
    """A connection over which the note has gone out. Raises OSError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(patience)
        sock.connect(str(path))
        sock.sendall(note)
        sock.shutdown(socket.SHUT_WR)
    except BaseException:
        sock.close()
        raise
    return sock


def _heard(sock: socket.socket, deadline: float) -> bool:
    """Whether the other side confirmed in time."""
    sock.settimeout(max(0.001, deadline - time.monotonic()))
    try:
        return sock.recv(1) == _HEARD
    except OSError:
        return False
