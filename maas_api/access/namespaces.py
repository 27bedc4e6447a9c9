"""Which namespaces' models a caller may see, by the cluster's own rules (SubjectAccessReview), off the request path.

A request reads what is known and never waits. What is not known yet is asked in the background and counts as no until
then: a caller's first listing may lack in-cluster models for a moment, it never shows one too many. Answers are kept
for a while and asked again before they end; while the cluster cannot be asked, the last answers stay for a bounded
grace, then they count as unknown. A circuit breaker keeps a cluster in trouble from being asked more.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from cachetools import LRUCache

from maas_api.identity.headers import Identity

log = logging.getLogger(__name__)

Ask = Callable[[Identity, str], bool]
"""Whether a user may get the LLMInferenceServices of a namespace. Raises when the cluster cannot be asked."""


class Policy(NamedTuple):
    """How long answers count, in seconds, and when the breaker opens."""

    fresh: float = 30.0  # after this an answer is asked again, and still used meanwhile
    grace: float = 300.0  # after this it is unknown
    failures: int = 5  # in a row, and the breaker opens
    rest: float = 10.0  # how long it stays open before one question tries again
    size: int = 100_000  # answers remembered
    waiting: int = 10_000  # questions under way or queued; more are not taken


class _Answer(NamedTuple):
    allowed: bool
    at: float


_Question = tuple[Identity, str]


class ReviewedNamespaces:
    """Implements :class:`~maas_api.access.caller.NamespaceAccess`. ``ask`` runs in a small pool of threads."""

    def __init__(
        self,
        ask: Ask,
        *,
        policy: Policy = Policy(),  # noqa: B008 -- immutable
        threads: int = 4,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._policy = policy
        self._threads = threads
        self._clock = clock
        self._lock = threading.Lock()
        self._answers: LRUCache[_Question, _Answer] = LRUCache(policy.size)
        self._asking: set[_Question] = set()
        self._failures = 0
        self._closed_until = 0.0
        self._pool: ThreadPoolExecutor | None = None

    def start(self) -> None:
        """Begin asking."""
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="namespace-access")

    def stop(self) -> None:
        """Stop; questions under way are abandoned."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)

    def visible(self, who: Identity, namespaces: frozenset[str]) -> frozenset[str]:
        """Those of ``namespaces`` the caller is known to have access to. Starts questions about the others."""
        known = Identity(who.username, tuple(sorted(who.groups)))
        now = self._clock()
        allowed: list[str] = []
        unsure: list[_Question] = []
        with self._lock:
            for namespace in namespaces:
                answer = self._answers.get((known, namespace))
                age = now - answer.at if answer is not None else self._policy.grace
                if answer is not None and answer.allowed and age < self._policy.grace:
                    allowed.append(namespace)
                if age >= self._policy.fresh:
                    unsure.append((known, namespace))
            questions = self._take(unsure, now)
        for question in questions:
            self._submit(question)
        return frozenset(allowed)

    def _take(self, unsure: list[_Question], now: float) -> list[_Question]:
        """The questions to ask now, noted as under way: none twice, none while the breaker is open."""
        if self._pool is None or now < self._closed_until:
            return []
        room = self._policy.waiting - len(self._asking)
        if self._failures >= self._policy.failures:  # the rest is over: one question finds out
            room = min(room, 1 - len(self._asking))
        fresh = [question for question in unsure if question not in self._asking][: max(0, room)]
        self._asking.update(fresh)
        return fresh

    def _submit(self, question: _Question) -> None:
        pool = self._pool
        if pool is not None:
            with contextlib.suppress(RuntimeError):  # stopped a moment ago
                pool.submit(self._find_out, question)
                return
        with self._lock:
            self._asking.discard(question)

    def _find_out(self, question: _Question) -> None:
        try:
            allowed = self._ask(*question)
        except Exception as fault:  # any failure is one: the answer stays unknown
            self._failed(question, fault)
            return
        with self._lock:
            if self._failures >= self._policy.failures:
                log.info("namespace access can be asked again")
            self._failures = 0
            self._answers[question] = _Answer(allowed, self._clock())
            self._asking.discard(question)

    def _failed(self, question: _Question, fault: Exception) -> None:
        with self._lock:
            self._asking.discard(question)
            self._failures += 1
            if self._failures < self._policy.failures:
                return
            first = self._failures == self._policy.failures
            self._closed_until = self._clock() + self._policy.rest
        if first:
            log.warning("namespace access cannot be asked, known answers stay for a while: %s", fault)
