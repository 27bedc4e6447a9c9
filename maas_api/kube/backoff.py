"""How long to wait before an API server is asked again, by what went wrong. Pure, but for the jitter it is given.

=============  ========================================================  ============================================
what           waits (upper bounds)                                      why
=============  ========================================================  ============================================
no answer      0.5 s, doubled up to 1.5 s                                one request a second and kind is nothing to a
                                                                         server that is down, and clients poll the
                                                                         listing: two workers may disagree no longer
a refusal      the same for the first twelve, then doubled up to 30 s    a server that starts forbids everything until
                                                                         its rules are loaded; a right that is missing
                                                                         for good is not asked for every second
410, expired   none, then 0.8 s, doubled up to 30 s                      it proves that the server is well, so a list
                                                                         is due; several in a row (client-go's shape)
                                                                         must not become a storm of lists
=============  ========================================================  ============================================
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

UNAUTHORIZED, FORBIDDEN, TOO_MANY = 401, 403, 429

FLOOR = 0.1
"""The least share of a bound: pure full jitter may draw a run of near-zero waits, which is a hot loop."""


class Timing(NamedTuple):
    """Seconds, unless said otherwise."""

    watch: float = 60.0  # the server ends a watch after this and up to a tenth more, so that not all end together
    slack: float = 10.0  # silence beyond the server's promise that still passes for slowness
    settle: float = 0.5  # a resumed watch without an error for so long is back; a 410 comes at once
    backoff: float = 0.5
    backoff_limit: float = 1.5
    patience: int = 12  # refusals in a row that may be those of a server that is starting
    refusal_limit: float = 30.0
    relist: float = 0.8
    relist_limit: float = 30.0
    absent: float = 30.0  # between two looks for a kind that is not there
    page: int = 500  # objects per page of a list


class Backoff:
    """The waits of one reflector. ``jitter`` draws from 0 to 1."""

    def __init__(self, timing: Timing, jitter: Callable[[], float]) -> None:
        self._timing = timing
        self._jitter = jitter
        self.failures = 0
        """Errors in a row, of any kind."""
        self._unanswered = self._refused = self._gone = 0

    def succeeded(self) -> None:
        """The server did what it was asked for, for a while."""
        self.failures = self._unanswered = self._refused = self._gone = 0

    @property
    def refused_for_good(self) -> bool:
        """Whether refusals have gone on for longer than any start takes."""
        return self._refused > self._timing.patience

    def unanswered(self, retry_after: float = 0.0) -> float:
        """Seconds after no answer, or one that asks to come back later (``retry_after`` seconds at the least)."""
        self.failures += 1
        self._unanswered += 1
        self._refused = 0  # whoever comes up after this loads its rules anew
        bound = _doubled(self._timing.backoff, self._unanswered, self._timing.backoff_limit)
        return max(retry_after, self._drawn(bound))

    def refused(self, retry_after: float = 0.0) -> float:
        """Seconds after a refusal that another try does not mend by itself."""
        self.failures += 1
        self._refused += 1
        bound = _doubled(self._timing.backoff, self._refused, self._timing.backoff_limit)
        if self.refused_for_good:
            bound = _doubled(bound, self._refused - self._timing.patience + 1, self._timing.refusal_limit)
        return max(retry_after, self._drawn(bound))

    def gone(self) -> float:
        """Seconds between a 410 and the list that it asks for."""
        self.failures += 1
        self._gone += 1
        self._unanswered = self._refused = 0
        if self._gone == 1:
            return 0.0
        return self._drawn(_doubled(self._timing.relist, self._gone - 1, self._timing.relist_limit))

    def _drawn(self, bound: float) -> float:
        return bound * (FLOOR + (1 - FLOOR) * self._jitter())


def _doubled(first: float, number: int, limit: float) -> float:
    """The bound of the ``number``-th wait, from 1."""
    return float(min(limit, first * 2 ** min(number - 1, 16)))


def comes_back(status: int) -> bool:
    """Whether an answer is about the server's state, not about the request."""
    return status == TOO_MANY or status >= 500


def may_resume(status: int) -> bool:
    """Whether the same watch may be asked for again: a server that is starting forbids everything to everyone."""
    return comes_back(status) or status in (UNAUTHORIZED, FORBIDDEN)
