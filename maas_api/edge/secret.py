"""The shared secret of ``/internal``, or the one for usage alone, from a file that may change: one line, or two while
it is being exchanged.

The first line is what this project's own callers show. Both are accepted, so that those who show it can change over
one after the other. A line is taken without white space at its ends; Authorino does not do that (it sends a Secret's
value as it is, and Go's client refuses a line break), so a file that has some is pointed out.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from maas_api.config import ConfigError
from maas_api.observability.redaction import REDACTOR

CHECK_SECONDS: Final = 5.0
ACCEPTED_MAX: Final = 2

log = logging.getLogger(__name__)


class SecretError(ConfigError):
    """A file that cannot be used. The message names it and the rule, never a secret."""


INTERNAL: Final = "--internal-secret-file (INTERNAL_SECRET_FILE)"
FOR_USAGE: Final = "--usage-secret-file (USAGE_SECRET_FILE)"


def secrets_in(path: Path, option: str = INTERNAL) -> tuple[str, ...]:
    """The secrets in a file, the one to show first. Raises SecretError, which names the option, for a file without one,
    or with too many."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise _wrong(option, f"{path} cannot be read: {type(fault).__name__}") from None
    found = tuple(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
    if not found:
        raise _wrong(option, f"{path} is empty, and would leave /internal without the protection it asks for")
    if len(found) > ACCEPTED_MAX:
        raise _wrong(option, f"{path} must hold one secret, or two lines while it is exchanged, got {len(found)}")
    if not all(secret.isascii() and secret.isprintable() for secret in found):
        raise _wrong(option, f"{path} must hold printable ASCII: it goes into a header")
    REDACTOR.remember(*found)
    if text != "\n".join(found):
        log.warning(
            "the shared secret's file has white space around the secret, which is left out here; a Secret with the "
            "same value is refused by Authorino's client, and with it every key: make it with printf %s",
            extra={"file": str(path)},
        )
    return found


def _wrong(option: str, rule: str) -> SecretError:
    return SecretError(f"{option}: {rule}")


class SecretFile:
    """Has ``accept`` called with what the file holds: now, and whenever that changes. A Background of every worker."""

    def __init__(
        self,
        path: Path,
        accept: Callable[[tuple[bytes, ...]], None],
        every: float = CHECK_SECONDS,
        option: str = INTERNAL,
    ) -> None:
        """Raises SecretError for a file that cannot be used; ``option`` is what named it."""
        self._path = path
        self._option = option
        self._accept = accept
        self._every = every
        self._seen = path.read_bytes()
        accept(tuple(secret.encode() for secret in secrets_in(path, option)))
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Watch the file in a thread."""
        self._thread = threading.Thread(target=self._run, name="shared-secret", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            self.check()

    def check(self) -> None:
        """Take over a changed file. One that cannot be used is reported once, and what was accepted stays so."""
        try:
            seen = self._path.read_bytes()
        except OSError:
            seen = b""
        if seen == self._seen:
            return
        self._seen = seen
        try:
            found = secrets_in(self._path, self._option)
        except SecretError as fault:
            log.error("%s; what was accepted before stays", fault)  # noqa: TRY400 -- the message says it all
            return
        self._accept(tuple(secret.encode() for secret in found))
        log.info("shared secret read again", extra={"file": str(self._path), "accepted": len(found)})

    def stop(self) -> None:
        """Stop watching."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=2)
