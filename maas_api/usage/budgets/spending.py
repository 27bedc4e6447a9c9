"""Budgets at the door: may this key spend more now? Answered from memory while a lease lasts, else by a future.

Before a call passes, some tokens are held for it; when its usage arrives, what it took is spent and the hold let go
(:mod:`maas_api.usage.statements.holds`). Workers hold tokens in leases, so the store is asked once for many calls, and
no call passes that nothing is held for: calls at once cannot all pass on the last token.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Final, NamedTuple, Protocol

import sqlalchemy as sa

from maas_api.keys.budget import Budget, Budgets, window
from maas_api.observability import metrics
from maas_api.usage.budgets.decisions import Decision, Granted, Spent, Unknown
from maas_api.usage.statements.holds import GENERATION_SECONDS, Lease, generation_of

_log = logging.getLogger(__name__)

LEASED_CALLS: Final = (32, 4096)
"""A lease is for so many calls, while the budget is far from its end: the fewest, and the most for a key that uses one
up within a second. The next one is asked for when half of it is gone, so that no call need wait for the store."""
IDLE_SECONDS: Final = 1.0
"""A lease that nobody drew on for so long is given back: another worker may need it."""
REFUSED_SECONDS: Final = 1.0
"""How long a spent budget is believed to be spent, unless it is changed: then it is asked for again at once."""
_LOOK_SECONDS: Final = 0.25
_REFILL_SECONDS: Final = 0.05  # between two attempts to have more than is left, near the end of a budget
_LOW: Final = 5  # less than a fifth is left
_ACCOUNTS_MAX: Final = 100_000


class Bank(Protocol):
    """Where tokens are held. Both raise sqlalchemy.exc.SQLAlchemyError."""

    def lease(self, key_id: str, budget: Budget, wanted: int, least: int, now: datetime) -> Lease: ...
    def give_back(self, key_id: str, per: str, moment: datetime, tokens: int, generation: int) -> None: ...


_GRANTED, _LOW_LEFT, _SPENT, _UNKNOWN = (
    metrics.budget_checks.labels(result) for result in ("granted", "low", "spent", "unknown")
)


class _Account:
    """What this worker knows and holds of one budget in one period. ``ends`` is Unix seconds."""

    __slots__ = (
        "begins", "budget", "calls", "drawn_at", "ends", "generation", "leased_at", "left", "limit", "low",
        "refill_after", "refused_until", "taken",
    )  # fmt: skip

    def __init__(self, budget: Budget, now: datetime) -> None:
        self.budget, self.limit = budget, budget.tokens
        self.begins, ends = window(budget.per, now)
        self.ends = None if ends is None else ends.timestamp()
        self.left = self.low = self.generation = self.taken = 0
        self.drawn_at = self.refused_until = self.refill_after = 0.0
        self.leased_at = -REFUSED_SECONDS
        self.calls = LEASED_CALLS[0]

    def reset(self, now: float) -> float | None:
        """Seconds until the period is over; None where it never is."""
        return None if self.ends is None else max(0.0, self.ends - now)


class _Waiting(NamedTuple):
    key_id: str
    budgets: Budgets
    answer: Future[Decision]


class Spending:
    """The budgets of the keys that this worker meets. Safe from any thread, and never waits in the caller's."""

    def __init__(
        self,
        bank: Bank,
        *,
        hold: int,
        outage_calls: int = 0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``hold``: tokens held for a call. ``outage_calls``: how many calls of a key pass while the store is down."""
        self._bank = bank
        self._hold = hold
        self._outage_calls = outage_calls
        self._now = now
        self._clock = clock
        self._lock = threading.Lock()
        self._accounts: dict[tuple[str, str], _Account] = {}
        self._outage: dict[str, int] = {}
        self._queue: list[_Waiting] = []
        self._refills: dict[str, Budgets] = {}
        self._returned: list[tuple[tuple[str, str], datetime, int, int]] = []
        self._wake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start asking the store."""
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="budgets", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Give back what is held for nobody, and stop."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(10)
            self._thread = None

    def check(self, key_id: str, budgets: Budgets) -> Decision | Future[Decision]:
        """Whether a call of the key may pass. A future where the store must be asked; it never raises."""
        with self._lock:
            found = self._at_once(key_id, budgets)
            if found is not None:
                return found
            answer: Future[Decision] = Future()
            self._queue.append(_Waiting(key_id, budgets, answer))
        self._wake.set()
        return answer

    def _at_once(self, key_id: str, budgets: Budgets) -> Decision | None:
        """The answer from memory, None where there is none. Holds the lock."""
        now, at = self._now().timestamp(), self._clock()
        held, accounts = self._hold, []
        for budget in budgets:
            account = self._account(key_id, budget, now)
            if account.left < held:
                held = account.left
                if not held and account.refused_until > at:
                    _SPENT.inc()
                    return Spent(budget, account.reset(now))
            accounts.append(account)
        if not held:
            return None
        tightest, least = accounts[0], -1
        for account in accounts:
            account.left -= held
            account.drawn_at = at
            if account.left < account.low and account.refill_after <= at:
                account.refill_after = at + _REFILL_SECONDS
                self._refills[key_id] = budgets
                self._wake.set()
            remaining = account.limit - account.taken + account.left
            if least < 0 or remaining < least:
                tightest, least = account, max(0, remaining)
        (_LOW_LEFT if least * _LOW < tightest.limit else _GRANTED).inc()
        return Granted(held, accounts[0].generation, tightest.budget, least, tightest.reset(now))

    def _account(self, key_id: str, budget: Budget, now: float) -> _Account:
        """The account in its present period, generation and limit. ``now`` is Unix seconds."""
        account = self._accounts.get((key_id, budget.per))
        if account is None or (account.ends is not None and now >= account.ends):
            account = self._accounts[(key_id, budget.per)] = _Account(budget, datetime.fromtimestamp(now, UTC))
        if account.limit != budget.tokens:
            account.budget, account.limit, account.refused_until = budget, budget.tokens, 0.0
        if account.left and account.generation < now // GENERATION_SECONDS:
            self._returned.append(((key_id, budget.per), account.begins, account.left, account.generation))
            account.left = 0
        return account

    def _run(self) -> None:
        while True:
            self._wake.wait(_LOOK_SECONDS)
            self._wake.clear()
            with self._lock:
                queue, self._queue = self._queue, []
                refills, self._refills = self._refills, {}
            for key_id in dict.fromkeys(item.key_id for item in queue):
                self._serve(key_id, [item for item in queue if item.key_id == key_id])
            for key_id, budgets in refills.items():
                self._lease(key_id, budgets, 0)
            self._return_idle(everything=self._stopping)
            if self._stopping and not self._queue:
                return

    def _serve(self, key_id: str, waiting: list[_Waiting]) -> None:
        """Answer those who wait for a key's budgets: lease until all have passed, or a budget is spent."""
        while waiting:
            fault = self._lease(key_id, waiting[0].budgets, len(waiting))
            rest = []
            for item in waiting:
                with self._lock:
                    found = self._outage_decision(item) if fault else self._at_once(key_id, item.budgets)
                if found is None:
                    rest.append(item)
                elif item.answer.set_running_or_notify_cancel():
                    item.answer.set_result(found)
            # Where nobody got on, their budgets differ from the first one's: the next one's turn.
            waiting = rest[1:] + rest[:1] if len(rest) == len(waiting) else rest

    def _lease(self, key_id: str, budgets: Budgets, calls: int) -> bool:
        """Lease for so many calls and some more. True where the store could not be asked."""
        try:
            for budget in budgets:
                with self._lock:
                    account = self._account(key_id, budget, self._now().timestamp())
                    if account.left and (calls or account.left >= account.low):
                        continue
                    wanted = self._hold * (calls + self._size(account))
                given = self._bank.lease(key_id, budget, wanted, self._hold, self._now())
                with self._lock:
                    account.left += given.tokens
                    account.generation, account.taken = given.generation, given.taken
                    account.drawn_at = self._clock()
                    account.refused_until = 0.0 if given.tokens else self._clock() + REFUSED_SECONDS
                if not given.tokens:
                    return False
        except sa.exc.SQLAlchemyError as fault:
            metrics.store_errors.labels("budget").inc()
            _log.warning("a budget could not be asked for", extra={"fault": type(fault).__name__})
            return True
        with self._lock:
            self._outage.pop(key_id, None)
        return False

    def _size(self, account: _Account) -> int:
        """For how many calls the next lease is: more for a key that uses them up, fewer for one that does not."""
        at = self._clock()
        quick = at - account.leased_at < 1.0
        fewest, most = LEASED_CALLS
        account.calls = min(most, account.calls * 2) if quick else max(fewest, account.calls // 2)
        account.leased_at, account.low = at, account.calls * self._hold // 2
        return account.calls

    def _outage_decision(self, item: _Waiting) -> Decision:
        """What is said while the store is down: so many calls of a key pass unheld, then none."""
        passed = self._outage.get(item.key_id, 0)
        _UNKNOWN.inc()
        if passed >= self._outage_calls:
            return Unknown()
        self._outage[item.key_id] = passed + 1
        return Granted(0, generation_of(self._now()), item.budgets[0], 0, None)

    def _return_idle(self, *, everything: bool) -> None:
        """Give back leases that nobody draws on; forget accounts of periods that are over."""
        now, at = self._now().timestamp(), self._clock()
        with self._lock:
            idle, self._returned = self._returned, []
            for place, account in list(self._accounts.items()):
                over = account.ends is not None and now >= account.ends
                if account.left and (everything or (not over and at - account.drawn_at > IDLE_SECONDS)):
                    idle.append((place, account.begins, account.left, account.generation))
                    account.left = 0
                if over or (len(self._accounts) > _ACCOUNTS_MAX and not account.left):
                    del self._accounts[place]
        for (key_id, per), begins, tokens, generation in idle:
            try:
                self._bank.give_back(key_id, per, begins, tokens, generation)
            except sa.exc.SQLAlchemyError as fault:  # the store lets go of it by itself, after a while
                metrics.store_errors.labels("budget").inc()
                _log.warning("held tokens were not given back", extra={"fault": type(fault).__name__})
