"""Budgets at the door: may this call be paid for? Answered from memory while a lease lasts, else by a future.

Before a call passes, some tokens (or what they cost) are held for it; when its usage arrives, what it took is spent and
the hold let go (:mod:`maas_api.usage.statements.holds`). Workers hold in leases, so the store is asked once for many
calls, and no call passes that nothing is held for: calls at once cannot all pass on the last token.
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

from maas_api.keys.budget import Budget
from maas_api.models.price import Price
from maas_api.observability import metrics
from maas_api.usage.budgets.accounts import Account, Purse, opened
from maas_api.usage.budgets.claims import Claim, Payer, claims
from maas_api.usage.budgets.decisions import Decision, Granted, Spent, Unknown, Unpriced
from maas_api.usage.prices import PriceBook
from maas_api.usage.record import Hold
from maas_api.usage.statements.holds import GENERATION_SECONDS, Lease, generation_of

_log = logging.getLogger(__name__)

IDLE_SECONDS: Final = 1.0
"""A lease that nobody drew on for so long is given back: another worker may need it."""
PRICE_SECONDS: Final = 1.0
"""How long a model's price is believed to be what it was."""
_LOOK_SECONDS: Final = 0.25
_REFILL_SECONDS: Final = 0.05  # between two attempts to have more than is left, near the end of a budget
_KNOWN_MAX: Final = 100_000
_PURSES_MAX: Final = 10_000

Claims = tuple[Claim, ...]


class Bank(Protocol):
    """Where budgets are held. Both raise sqlalchemy.exc.SQLAlchemyError."""

    def lease(self, holder: str, budget: Budget, wanted: int, least: int, now: datetime) -> Lease: ...
    def give_back(self, holder: str, budget: Budget, moment: datetime, amount: int, generation: int) -> None: ...


_GRANTED, _LOW_LEFT, _SPENT, _UNPRICED, _UNKNOWN = (
    metrics.budget_checks.labels(result) for result in ("granted", "low", "spent", "unpriced", "unknown")
)
_FREE: Final = Granted(None)


class _Waiting(NamedTuple):
    payer: Payer
    purse: Purse
    answer: Future[Decision]


class Spending:
    """The budgets that this worker meets. Safe from any thread, and never waits in the caller's."""

    def __init__(
        self,
        bank: Bank,
        *,
        hold: int,
        outage_calls: int = 0,
        prices: Callable[[], PriceBook] = lambda: PriceBook({}),
        now: Callable[[], datetime] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``hold``: tokens held for a call. ``outage_calls``: how many of a holder pass while the store is down."""
        self._bank = bank
        self._hold = hold
        self._outage_calls = outage_calls
        self._prices = prices
        self._now = now or (lambda: datetime.now(UTC))
        self._wall: Callable[[], float] = time.time if now is None else (lambda: now().timestamp())
        self._clock = clock
        self._lock = threading.Lock()
        self._purses: dict[Payer, Purse] = {}
        self._accounts: dict[tuple[str, str, str], Account] = {}
        self._outage: dict[str, int] = {}
        self._queue: list[_Waiting] = []
        self._refills: dict[Claims, None] = {}
        self._returned: list[tuple[str, Budget, datetime, int, int]] = []
        self._granted = self._low = 0  # counted, and not yet published
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

    def check(self, payer: Payer) -> Decision | Future[Decision]:
        """Whether a call may pass. A future where the store must be asked; it never raises."""
        at = self._clock()
        purse = self._purses.get(payer)
        if purse is None or purse.known_until <= at:
            found = self._work_out(payer, at)
            if isinstance(found, Unpriced):
                _UNPRICED.inc()
                return found
            purse = found
        if not purse.claims:
            return _FREE
        with self._lock:
            decided = self._at_once(payer, purse, at)
            if decided is not None:
                return decided
            answer: Future[Decision] = Future()
            self._queue.append(_Waiting(payer, purse, answer))
        self._wake.set()
        return answer

    def _work_out(self, payer: Payer, at: float) -> Purse | Unpriced:
        """What the payer's calls claim, remembered for as long as it holds."""

        def price(model: str) -> Price | None:
            return self._prices().at(model, self._now())

        found = claims(payer, self._hold, price)
        if isinstance(found, Unpriced):
            return found
        lasting = not any(budget.currency for budget in payer.budgets)
        purse = Purse(found, float("inf") if lasting else at + PRICE_SECONDS)
        if len(self._purses) >= _PURSES_MAX:
            self._purses = {}
        self._purses[payer] = purse
        return purse

    def _at_once(self, payer: Payer, purse: Purse, at: float) -> Decision | None:
        """The answer from memory, None where there is none. Holds the lock. Every call comes by here: what is asked of
        each account is written out, and worked out when it changes."""
        now = self._wall()
        if now >= purse.until:
            self._look_up(purse, now)
        for account, wanted, _ in purse.parts:
            if account.left < wanted:
                drawn = purse.last_of_it()
                if drawn is None:
                    return self._short(payer, purse, now, at)
                return self._grant(purse, drawn, payer.reference, now, at)
        if at >= purse.again_until:
            return self._grant(purse, (purse.tokens, purse.cost), payer.reference, now, at)
        for account, wanted, _ in purse.parts:
            account.left = left = account.left - wanted
            account.drawn_at = at
            if left < account.low:
                self._refill(purse, account, at)
        self._count(low=purse.low)
        return purse.granted

    def _grant(self, purse: Purse, drawn: tuple[int, int], reference: str, now: float, at: float) -> Granted:
        """Hold so much for a call, and say anew what is left. Holds the lock."""
        granted = purse.grant(*drawn, reference, now, at)
        for account, _, _ in purse.parts:
            if account.left < account.low:
                self._refill(purse, account, at)
        self._count(low=purse.low)
        return granted

    def _count(self, *, low: bool) -> None:
        if low:
            self._low += 1
        else:
            self._granted += 1

    def _refill(self, purse: Purse, account: Account, at: float) -> None:
        """Have more leased, soon. Holds the lock."""
        if account.refill_after <= at and account.refused_until <= at:
            account.refill_after = at + _REFILL_SECONDS
            self._refills[purse.claims] = None
            self._wake.set()

    def _short(self, payer: Payer, purse: Purse, now: float, at: float) -> Spent | None:
        """What is said where too little is left: no, if the store has just said so, else it must be asked."""
        for claim, (account, _, _) in zip(purse.claims, purse.parts, strict=True):
            if not account.enough(claim.hold) and account.refused_until > at:
                _SPENT.inc()
                whose = "" if claim.holder == payer.key_id else payer.subscription
                return Spent(claim.budget, account.reset(now), whose)
        return None

    def _look_up(self, purse: Purse, now: float) -> None:
        """The purse's accounts in their present periods and generation. Holds the lock."""
        purse.parts = tuple(
            (self._account(claim, now), claim.hold, bool(claim.budget.currency)) for claim in purse.claims
        )
        ends = [account.ends for account, _, _ in purse.parts if account.ends is not None]
        purse.until = min([(now // GENERATION_SECONDS + 1) * GENERATION_SECONDS, *ends])
        purse.again_until = 0.0

    def _account(self, claim: Claim, now: float) -> Account:
        """The account in its present period, generation and amount. ``now`` is Unix seconds. Holds the lock."""
        budget = claim.budget
        place = (claim.holder, budget.per, budget.currency)
        account = self._accounts.get(place)
        if account is None or account.over(now):
            account = self._accounts[place] = opened(budget, now)
        elif account.budget.amount != budget.amount:
            account.change(budget)
        if account.left and account.generation < now // GENERATION_SECONDS:
            self._give_up(claim.holder, account)
        return account

    def _give_up(self, holder: str, account: Account) -> None:
        """Have what is left given back, soon. Holds the lock."""
        self._returned.append((holder, account.budget, account.begins, account.left, account.generation))
        account.left = 0

    def _run(self) -> None:
        while True:
            self._wake.wait(_LOOK_SECONDS)
            self._wake.clear()
            with self._lock:
                queue, self._queue = self._queue, []
                refills, self._refills = self._refills, {}
                granted, low, self._granted, self._low = self._granted, self._low, 0, 0
            _GRANTED.inc(granted)
            _LOW_LEFT.inc(low)
            for claimed in dict.fromkeys(item.purse.claims for item in queue):
                self._serve(claimed, [item for item in queue if item.purse.claims == claimed])
            for claimed in refills:
                self._lease(claimed, 0)
            self._return_idle(everything=self._stopping)
            if self._stopping and not self._queue:
                return

    def _serve(self, claimed: Claims, waiting: list[_Waiting]) -> None:
        """Answer those who wait for the same budgets: lease until all have passed, or a budget is spent."""
        while waiting:
            fault = self._lease(claimed, len(waiting))
            rest = []
            for item in waiting:
                with self._lock:
                    found = (
                        self._outage_decision(item) if fault else self._at_once(item.payer, item.purse, self._clock())
                    )
                if found is None:
                    rest.append(item)
                elif item.answer.set_running_or_notify_cancel():
                    item.answer.set_result(found)
            waiting = rest

    def _lease(self, claimed: Claims, calls: int) -> bool:
        """Lease for so many calls and some more. True where the store could not be asked."""
        try:
            for claim in claimed:
                with self._lock:
                    account = self._account(claim, self._now().timestamp())
                    if account.enough(claim.hold) and (calls or account.left >= account.low):
                        continue
                    wanted = claim.hold * (calls + account.size(claim.hold, self._clock()))
                given = self._bank.lease(claim.holder, claim.budget, wanted, claim.hold, self._now())
                with self._lock:
                    account.put(given, self._clock())
                if not given.amount:
                    return False
        except sa.exc.SQLAlchemyError as fault:
            metrics.store_errors.labels("budget").inc()
            _log.warning("a budget could not be asked for", extra={"fault": type(fault).__name__})
            return True
        except Exception:  # a fault of ours must not end the thread that all budgets wait for
            _log.exception("a budget could not be asked for")
            return True
        with self._lock:
            for claim in claimed:
                self._outage.pop(claim.holder, None)
        return False

    def _outage_decision(self, item: _Waiting) -> Decision:
        """What is said while the store is down: so many calls of a holder pass unheld, then none."""
        holder = item.purse.claims[0].holder
        passed = self._outage.get(holder, 0)
        _UNKNOWN.inc()
        if passed >= self._outage_calls:
            return Unknown()
        self._outage[holder] = passed + 1
        return Granted(Hold(0, generation_of(self._now()), 0, item.payer.reference))

    def _return_idle(self, *, everything: bool) -> None:
        """Give back leases that nobody draws on; forget accounts of periods that are over."""
        now, at = self._now().timestamp(), self._clock()
        with self._lock:
            for place, account in list(self._accounts.items()):
                over = account.over(now)
                if account.left and (everything or (not over and at - account.drawn_at > IDLE_SECONDS)):
                    self._give_up(place[0], account)
                if over or (len(self._accounts) > _KNOWN_MAX and not account.left):
                    del self._accounts[place]
                    self._purses = {} if not over else self._purses  # they would draw on an account that nobody fills
            idle, self._returned = self._returned, []
        for returned in idle:
            try:
                self._bank.give_back(*returned)
            except sa.exc.SQLAlchemyError as fault:  # the store lets go of it by itself, after a while
                metrics.store_errors.labels("budget").inc()
                _log.warning("what was held was not given back", extra={"fault": type(fault).__name__})
