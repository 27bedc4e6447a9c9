"""What one worker knows and holds of a budget in one period. Whoever keeps accounts keeps the lock."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from maas_api.keys.budget import Budget, window
from maas_api.usage.budgets.claims import Claim
from maas_api.usage.budgets.decisions import Granted, Left
from maas_api.usage.record import Hold
from maas_api.usage.statements.holds import Lease

LEASED_CALLS: Final = (32, 4096)
"""A lease is for so many calls, while the budget is far from its end: the fewest, and the most for a holder that uses
one up within a second. The next one is asked for when half of it is gone, so that no call need wait for the store."""
REFUSED_SECONDS: Final = 1.0
"""How long a spent budget is believed to be spent, unless it is changed: then it is asked for again at once."""

SAID_AGAIN_SECONDS: Final = 0.01
"""How old what a call is told of what is left may be. Said anew at every call it takes as long as all the rest."""


class Account:
    """One budget of one holder. ``left`` is held by this worker and not drawn on, ``free`` by nobody, as far as is
    known here; ``last``: the store had no more to give. ``begins`` and ``ends`` bound the period, ``ends`` in Unix
    seconds. ``small`` is a fifth of the budget."""

    __slots__ = (
        "begins", "budget", "calls", "drawn_at", "ends", "free", "generation", "last", "leased_at", "left", "low",
        "refill_after", "refused_until", "small", "taken",
    )  # fmt: skip

    def __init__(self, budget: Budget, now: datetime) -> None:
        self.budget = budget
        self.begins, ends = window(budget.per, now)
        self.ends = None if ends is None else ends.timestamp()
        self.left = self.low = self.generation = self.taken = 0
        self.drawn_at = self.refused_until = self.refill_after = 0.0
        self.leased_at = -REFUSED_SECONDS
        self.calls = LEASED_CALLS[0]
        self.last = False
        self.free, self.small = budget.amount, budget.amount // 5

    def over(self, now: float) -> bool:
        """Whether the period is over. ``now`` is Unix seconds."""
        return self.ends is not None and now >= self.ends

    def change(self, budget: Budget) -> None:
        """The budget is another amount from now on: what was believed of it does not hold."""
        self.budget, self.refused_until, self.last = budget, 0.0, False
        self.free, self.small = budget.amount - self.taken, budget.amount // 5

    def enough(self, hold: int) -> bool:
        """Whether a call may draw on it: what it is to hold, or all that there is."""
        return self.left >= hold or (self.last and self.left > 0)

    def reset(self, now: float) -> float | None:
        """Seconds until the period is over; None where it never is."""
        return None if self.ends is None else max(0.0, self.ends - now)

    def size(self, hold: int, at: float) -> int:
        """For how many calls the next lease is: more for a holder that uses them up, fewer for one that does not.
        ``at`` is the monotonic clock's."""
        fewest, most = LEASED_CALLS
        self.calls = min(most, self.calls * 2) if at - self.leased_at < 1.0 else max(fewest, self.calls // 2)
        self.leased_at, self.low = at, self.calls * hold // 2
        return self.calls

    def put(self, given: Lease, at: float) -> None:
        """Take in what the store gave."""
        self.left += given.amount
        self.generation, self.taken = given.generation, given.taken
        self.free = self.budget.amount - given.taken
        self.last = self.free <= 0
        self.drawn_at = at
        self.refused_until = 0.0 if given.amount else at + REFUSED_SECONDS


class Purse:
    """What the calls of one payer draw on: each claim's account, how much, and whether that is money.

    ``tokens`` and ``cost``: what is held for a call, 0 where no claim is of the kind. ``until``: Unix seconds up to
    which the accounts are those of the present periods and generation; ``known_until``: up to when, by the monotonic
    clock, the claims are what they were. ``granted``: what the last call was told, which calls are told again up to
    ``again_until``, by that clock; ``low``: whether little was left then.
    """

    __slots__ = ("_hold", "again_until", "claims", "cost", "granted", "known_until", "low", "parts", "tokens", "until")

    def __init__(self, claims: tuple[Claim, ...], known_until: float) -> None:
        self.claims = claims
        self.known_until = known_until
        self.parts: tuple[tuple[Account, int, bool], ...] = ()
        self.until = 0.0
        self._hold = Hold(0, 0)
        self.granted = Granted(None)
        self.again_until = 0.0
        self.low = False
        self.tokens = next((claim.hold for claim in claims if not claim.budget.currency), 0)
        self.cost = next((claim.hold for claim in claims if claim.budget.currency), 0)

    def last_of_it(self) -> tuple[int, int] | None:
        """Tokens and cost that a call is to hold where less is left than it should: all of it, if it is the last. None
        where it is not, or where nothing is left."""
        tokens, cost = self.tokens, self.cost
        for account, wanted, money in self.parts:
            if account.left < wanted:
                if not account.last or not account.left:
                    return None
                if money:
                    cost = min(cost, account.left)
                else:
                    tokens = min(tokens, account.left)
        return tokens, cost

    def grant(self, tokens: int, cost: int, reference: str, now: float, at: float) -> Granted:
        """Draw so much for a call, and say what is left. ``now`` is Unix seconds, ``at`` the monotonic clock's."""
        tight: Account | None = None
        dear: Account | None = None
        least = dearest = 0
        self.low = False
        for account, _, money in self.parts:
            account.left = left = account.left - (cost if money else tokens)
            account.drawn_at = at
            left += account.free
            self.low = self.low or left < account.small
            if money:
                if dear is None or left < dearest:
                    dear, dearest = account, left
            elif tight is None or left < least:
                tight, least = account, left
        self.granted = Granted(
            self._hold_of(tokens, cost, reference),
            None if tight is None else Left(tight.budget, max(0, least), tight.reset(now)),
            None if dear is None else Left(dear.budget, max(0, dearest), dear.reset(now)),
        )
        self.again_until = at + SAID_AGAIN_SECONDS if (tokens, cost) == (self.tokens, self.cost) else 0.0
        return self.granted

    def _hold_of(self, tokens: int, cost: int, reference: str) -> Hold:
        """What is held for a call: mostly what was for the last one."""
        generation, last = self.parts[0][0].generation, self._hold
        if last.tokens != tokens or last.cost != cost or last.generation != generation:
            last = self._hold = Hold(tokens, generation, cost, reference)
        return last


def opened(budget: Budget, now: float) -> Account:
    """An account of the period that ``now`` (Unix seconds) lies in."""
    return Account(budget, datetime.fromtimestamp(now, UTC))
