"""Validation: may this key call, and who is it? The hot path.

Parse, hash, cache; only what the cache does not know goes to the store. Nothing here blocks and nothing here writes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, Protocol

from maas_api import body
from maas_api.keys.format import hash_unchecked, intact
from maas_api.observability import metrics
from maas_api.validation.cache import Remembered, VerdictCache
from maas_api.validation.changes import Changes
from maas_api.validation.lookup import Lookup
from maas_api.validation.owners import Owners
from maas_api.validation.trust import DENIED_SECONDS, Trust
from maas_api.validation.verdict import BAD_FORMAT, REVOKED_OR_EXPIRED, Verdict
from maas_api.wire import JSON, JSON_ONLY, Pending, Promise, Reply, Request

UNAVAILABLE: Final = Reply(503, (JSON, (b"retry-after", b"1")), b"")
"""The transient fault. Its body is empty on purpose: Authorino ignores the status and caches whatever parses."""

_VALID, _INVALID, _ERROR = (metrics.validations.labels(result) for result in ("valid", "invalid", "error"))

_HIT, _GRACE, _MALFORMED = (metrics.cache_outcomes.labels(outcome) for outcome in ("hit", "grace", "malformed"))

_ALONE: Final = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"key"[ \t\r\n]*:[ \t\r\n]*"([ !#-\[\]-~]*)"[ \t\r\n]*\}[ \t\r\n]*')
"""What nearly every body is, a key and nothing else: JSON without an escape, that needs no parser to be read."""

_KEY_REQUIRED: Final = Reply(400, JSON_ONLY, b'{"error":"key is required"}')


class Unavailable(Exception):  # noqa: N818 -- reads as what it says where it is caught
    """The question could not be answered now. Neither yes nor no."""


class Notes(Protocol):
    """Takes note of what validation saw."""

    def used(self, key_id: str) -> None:
        """A key validated."""

    def expired(self, key_id: str) -> None:
        """A key was presented after its expiry."""


class Refused(Protocol):
    """Keys that are refused whatever the store says."""

    @property
    def keys(self) -> frozenset[str]: ...


class _Nobody:
    keys: frozenset[str] = frozenset()


_NOBODY = _Nobody()


class Validation:
    """Verdicts for raw keys, from memory where they can be trusted."""

    def __init__(
        self,
        cache: VerdictCache,
        lookup: Lookup,
        feed: Changes,
        notes: Notes,
        trust: Trust,
        refused: Refused = _NOBODY,
        owners: Owners | None = None,
        *,
        deadline: float,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """``deadline`` is seconds. ``owners``: None where keys keep the groups they were minted with."""
        self._cache = cache
        self._lookup = lookup
        self._feed = feed
        self._notes = notes
        self._trust = trust
        self._refused = refused
        self._owners = owners
        self._clock = clock
        self._wall = wall
        self.deadline = deadline

    def start(self) -> None:
        """Start hearing of changes and asking the store."""
        self._feed.start()
        self._lookup.start()

    def stop(self) -> None:
        """Stop both."""
        self._lookup.stop()
        self._feed.stop()

    def check(self, raw_key: str) -> Verdict | Future[Verdict]:
        """The verdict, or a future of it where the store must be asked. The future raises Unavailable."""
        if self._nobody_known():
            unknown: Future[Verdict] = Future()
            unknown.set_exception(Unavailable())
            return unknown
        key_hash, known = self._remembered(raw_key)
        if known is not None:
            return self._told(known)
        future: Future[Verdict] = Future()

        def answer(found: Verdict | None) -> None:
            if found is None:
                future.set_exception(Unavailable())
            else:
                future.set_result(found)

        self._ask(key_hash, answer)
        return future

    def route(self, request: Request) -> Reply | Pending:
        """``POST /internal/v1/api-keys/validate``, the callback of Authorino and the like."""
        raw_key = key_in(request.body)
        if not raw_key:
            return _KEY_REQUIRED
        if self._nobody_known():
            return UNAVAILABLE
        key_hash, known = self._remembered(raw_key)
        if known is not None:
            return Reply(200, JSON_ONLY, self._told(known).body)

        def begin(promise: Promise) -> None:
            def answer(found: Verdict | None) -> None:
                promise.settle(UNAVAILABLE if found is None else Reply(200, JSON_ONLY, found.body))

            self._ask(key_hash, answer)

        return Pending(Promise(begin), self.deadline, UNAVAILABLE)

    def _nobody_known(self) -> bool:
        """Whether nothing is known of the keys' owners yet: one may be disabled, so nobody is answered for."""
        if self._owners is None or self._owners.known:
            return False
        _ERROR.inc()
        return True

    def _remembered(self, raw_key: str) -> tuple[str, Verdict | None]:
        """The key's hash, and the verdict where the store need not be asked. What memory knows needs no checksum: it
        had the right one when the store was asked."""
        key_hash = hash_unchecked(raw_key)
        if key_hash is None:
            return "", self._malformed()
        known = self._known(key_hash)
        if known is None and not intact(raw_key):
            known = self._malformed()
        return key_hash, known

    def _malformed(self) -> Verdict:
        _MALFORMED.inc()
        return BAD_FORMAT

    def _known(self, key_hash: str) -> Verdict | None:
        """The verdict where memory can be trusted, else None."""
        self._feed.poll()
        entry = self._cache.get(key_hash)
        if entry is None:
            return None
        now = self._clock()
        if entry.verdict.valid:
            if self._trust.fresh(self._feed.channel, entry.checked_at, now):
                _HIT.inc()
                return self._unexpired(entry.verdict)
            if self._lookup.down:
                return self._bearable(entry, now)
            return None
        if now - entry.checked_at > DENIED_SECONDS:
            return None
        _HIT.inc()
        return entry.verdict

    def _bearable(self, entry: Remembered, now: float) -> Verdict | None:
        """What may still be said while the store is down."""
        if entry.verdict.valid and self._trust.bearable(self._feed.channel, entry.checked_at, now):
            _GRACE.inc()
            return self._unexpired(entry.verdict)
        return None

    def _unexpired(self, verdict: Verdict) -> Verdict:
        if verdict.expires_at is not None and verdict.expires_at < self._wall():
            self._notes.expired(verdict.key_id)
            return REVOKED_OR_EXPIRED
        return verdict

    def _ask(self, key_hash: str, answer: Callable[[Verdict | None], None]) -> None:
        """Have ``answer`` called once: with the store's verdict, a bearable old one, or None."""

        def settle(found: Verdict | None) -> None:
            if found is None:
                entry = self._cache.get(key_hash)
                found = None if entry is None else self._bearable(entry, self._clock())
            if found is None:
                _ERROR.inc()
                answer(None)
            else:
                answer(self._told(found))

        if not self._lookup.ask(key_hash, settle):
            settle(None)

    def _told(self, verdict: Verdict) -> Verdict:
        """Take note of an answer that is about to be given."""
        if verdict.key_id in self._refused.keys:
            verdict = REVOKED_OR_EXPIRED
        if self._owners is not None:
            verdict = self._owners.now(verdict)
        if verdict.key_id:
            self._notes.used(verdict.key_id)
        (_VALID if verdict.valid else _INVALID).inc()
        if verdict.long:
            metrics.long_replies.inc()
        return verdict


def key_in(raw: bytes) -> str:
    """The ``key`` of the callback's body, or ``""`` where there is none."""
    alone = _ALONE.fullmatch(raw)
    if alone is not None:
        return alone[1].decode("ascii")
    try:
        key = body.decode(raw).folded(("key",)).get("key")
    except body.BodyError:
        return ""
    return key if isinstance(key, str) else ""
