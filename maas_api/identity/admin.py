"""Who is an admin: asked of the cluster (SubjectAccessReview), or of a static list on a machine without one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from maas_api.identity.headers import Identity

POSITIVE_TTL_SECONDS = 30.0
NEGATIVE_TTL_SECONDS = 2.0


class AdminCheckError(Exception):
    """The question could not be answered now. Never to be read as yes or no."""


class AdminCheck(Protocol):
    """Answers whether a platform user administers this installation."""

    def is_admin(self, who: Identity) -> bool:
        """Raises AdminCheckError when the answer cannot be had."""


class StaticAdmins:
    """Admins by name or group, from the settings."""

    def __init__(self, users: tuple[str, ...], groups: tuple[str, ...]) -> None:
        self._users = frozenset(users)
        self._groups = frozenset(groups)

    def is_admin(self, who: Identity) -> bool:
        """Whether the user is on the list, or in a group that is."""
        return who.username in self._users or not self._groups.isdisjoint(who.groups)


class ReviewedAdmins:
    """Admins by the cluster's own rules, remembered as the Go service does.

    Yes for 30 s, no for 2 s, errors not at all; keyed by the user name and the sorted groups. A full cache, once its
    expired answers are dropped, takes no more: the question is then asked each time.
    """

    def __init__(
        self,
        ask: Callable[[Identity], bool],
        *,
        max_size: int,
        clock: Callable[[], float] = time.monotonic,
        seen: Callable[[bool], None] = lambda hit: None,
    ) -> None:
        self._ask = ask
        self._max_size = max_size
        self._clock = clock
        self._seen = seen
        self._lock = threading.Lock()
        self._answers: dict[str, tuple[float, bool]] = {}

    def is_admin(self, who: Identity) -> bool:
        """Raises AdminCheckError when the cluster cannot be asked."""
        if not who.username:
            return False
        key = "\x00".join((who.username, *sorted(who.groups)))
        with self._lock:
            known = self._answers.get(key)
            if known is not None and known[0] > self._clock():
                self._seen(True)
                return known[1]
        self._seen(False)
        try:
            answer = self._ask(who)
        except Exception as fault:
            raise AdminCheckError("the cluster did not answer the SubjectAccessReview") from fault
        self._remember(key, answer)
        return answer

    def _remember(self, key: str, answer: bool) -> None:
        now = self._clock()
        with self._lock:
            if key not in self._answers and len(self._answers) >= self._max_size:
                for stale in [name for name, (until, _) in self._answers.items() if until <= now]:
                    del self._answers[stale]
                if len(self._answers) >= self._max_size:
                    return
            self._answers[key] = (now + (POSITIVE_TTL_SECONDS if answer else NEGATIVE_TTL_SECONDS), answer)


class AnyAdmins:
    """Admin when any of the checks says so; asked in order, so put the cheap one first."""

    def __init__(self, *checks: AdminCheck) -> None:
        self._checks = checks

    def is_admin(self, who: Identity) -> bool:
        """Raises AdminCheckError when no check said yes and one could not answer."""
        return any(check.is_admin(who) for check in self._checks)
