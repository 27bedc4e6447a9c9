"""The keys of one issuer, kept fresh in a thread of their own.

===================  ===================  ===========================================================================
what                 bound                why
===================  ===================  ===========================================================================
a renewal            every 5 minutes      a key that the issuer withdraws stops counting
after a failure      10 s, doubled to 5   an issuer that starts is found soon, one that is down is not hammered
                     minutes
for an unknown kid   one in 10 s          a rotated key counts at once; whoever invents kids causes no more than this
who may wait for it  256                  the others are told to come back
old keys             24 hours             an issuer's outage locks nobody out; but whoever keeps us from it may not
                                          make a withdrawn key live for ever
===================  ===================  ===========================================================================

Nothing else waits: tokens by known keys are verified from memory, whatever the issuer does.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, NamedTuple

from maas_api.identity.oidc.fetch import FetchError
from maas_api.identity.oidc.jwks import Key, KeySet
from maas_api.observability import metrics

_log = logging.getLogger(__name__)

RENEW_SECONDS: Final = 300.0
UNKNOWN_SECONDS: Final = 10.0
KEEP_SECONDS: Final = 24 * 3600.0
WAITING: Final = 256
_STOP_SECONDS: Final = 2.0

_FETCHED, _FAILED = (metrics.oidc_fetches.labels(result) for result in ("success", "failure"))


class UnknownError(Exception):
    """Whether the issuer has such a key cannot be told now. Neither yes nor no."""


class _Held(NamedTuple):
    keys: KeySet
    at: float


class Keeper:
    """One issuer's keys; a lifecycle.Background. ``fetch`` raises FetchError and may take seconds."""

    def __init__(
        self,
        name: str,
        fetch: Callable[[], KeySet],
        *,
        renew: float = RENEW_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``renew``: seconds between two fetches."""
        self.name = name
        self._renew = renew
        self._fetch = fetch
        self._clock = clock
        self._changed = threading.Condition()
        self._held: _Held | None = None
        self._waiting: list[Future[None]] = []
        self._wanted = False
        self._fetching = False
        self._begun = float("-inf")
        self._failures = 0
        self._stopping = False
        self._said = ""
        self._skipped: tuple[str, ...] = ()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin with a fetch."""
        self._stopping = False
        self._wanted = True
        self._thread = threading.Thread(target=self._run, name="oidc-keys", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop; a fetch under way is abandoned."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(_STOP_SECONDS)
            self._thread = None

    def find(self, kid: str | None) -> Key | Future[None] | None:
        """The key, or None where the issuer has none of that name. A Future, after which to ask again, while that is
        being found out. Raises UnknownError. Never blocks."""
        now = self._clock()
        held = self._held
        if held is not None and now - held.at <= KEEP_SECONDS:
            key = held.keys.of(kid)
            if key is not None:
                return key
        with self._changed:
            if not (self._wanted or self._fetching):
                if now - self._begun < UNKNOWN_SECONDS:
                    if self._failures:
                        raise UnknownError(f"{self.name}: the issuer's keys could not be read")
                    return None
                if self._thread is None:
                    raise UnknownError(f"{self.name}: is not running")
                self._wanted = True
                self._changed.notify_all()
            if len(self._waiting) >= WAITING:
                raise UnknownError(f"{self.name}: too many wait for the issuer's keys")
            waiting: Future[None] = Future()
            self._waiting.append(waiting)
            return waiting

    def report(self) -> dict[str, object]:
        """What an operator wants to know of it."""
        held = self._held
        age = None if held is None else round(self._clock() - held.at)
        said: dict[str, object] = {"keys": 0 if held is None else len(held.keys.keys), "age": age}
        return {**said, "fault": self._said} if self._said else said

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._wanted and not self._stopping:
                    pause = self._begun + self._pause() - self._clock()
                    if pause <= 0:
                        break
                    self._changed.wait(pause)
                if self._stopping:
                    break
                self._wanted, self._fetching, self._begun = False, True, self._clock()
            self._once()
            self._release()
        self._release()

    def _pause(self) -> float:
        """Seconds from the beginning of one fetch to the next."""
        if not self._failures:
            return self._renew
        return float(min(self._renew, UNKNOWN_SECONDS * 2 ** min(self._failures - 1, 8)))

    def _once(self) -> None:
        began = self._clock()
        try:
            keys = self._fetch()
        except Exception as fault:  # FetchError, or whatever a hostile document makes of a library
            _FAILED.inc()
            self._failures += 1
            self._tell(str(fault) if isinstance(fault, FetchError) else type(fault).__name__)
            return
        _FETCHED.inc()
        self._failures = 0
        self._held = _Held(keys, began)
        self._tell("")
        if keys.skipped != self._skipped:
            self._skipped = keys.skipped
            _log.info("some of an issuer's keys are not used", extra={"issuer": self.name, "why": list(keys.skipped)})

    def _release(self) -> None:
        with self._changed:
            self._fetching = False
            waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.set_result(None)

    def _tell(self, fault: str) -> None:
        """Once for each fault, for as long as it lasts."""
        if fault == self._said:
            return
        if fault:
            _log.warning(
                "an issuer's keys cannot be read, those known stay", extra={"issuer": self.name, "fault": fault}
            )
        else:
            _log.info("an issuer's keys are read again", extra={"issuer": self.name})
        self._said = fault
