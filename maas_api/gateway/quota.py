"""What the authorizer adds to its yes so that a call is counted and held for, and its no to a spent budget. Pure."""

from __future__ import annotations

import math
from functools import lru_cache

from maas_api import errors
from maas_api.keys.budget import Budget, money
from maas_api.usage import record
from maas_api.usage.budgets.decisions import Decision, Granted, Spent, Unpriced
from maas_api.wire import Block, HeaderLines, Reply, encoded

METERED = "x-maas-metered-"
"""Begins the names of those headers that the gateway keeps as metadata, for its log; no model is sent them."""
SAID = {
    record.KEY_ID: f"{METERED}key",
    record.USER: f"{METERED}user",
    record.SUBSCRIPTION: f"{METERED}subscription",
    record.MODEL: f"{METERED}model",
    record.PROVIDER: f"{METERED}provider",
    record.HELD: f"{METERED}held",
}
"""Attribute of a usage record -> the header in which the authorizer says it."""

LEFT_HEADERS = tuple(
    f"x-ratelimit-{name}-{kind}" for kind in ("tokens", "cost") for name in ("limit", "remaining", "reset")
)
"""What is left, in OpenAI's names: tokens, and money with its currency; of several budgets of a kind the tightest."""

_TOKENS, _COST = (tuple(name.encode() for name in LEFT_HEADERS[at : at + 3]) for at in (0, 3))
_KEY, _USER, _SUBSCRIPTION, _MODEL, _PROVIDER, _HELD = (name.encode() for name in SAID.values())


def counted(user: str, key_id: str, subscription: str, model: str, provider: str) -> HeaderLines:
    """What a call is counted under."""
    said = ((_KEY, key_id), (_USER, user), (_SUBSCRIPTION, subscription), (_MODEL, model), (_PROVIDER, provider))
    return tuple([(name, value.encode()) for name, value in said if value])


def held(allowed: Reply, decided: Decision) -> Reply:
    """The yes with what is held for the call and what is left, or the no."""
    if isinstance(decided, Granted):
        if decided.hold is None:
            return allowed
        shown: tuple[Reply, Reply] | None = decided.shown
        if shown is None or shown[0] is not allowed:
            shown = decided.shown = allowed, _granted(allowed, decided)
        return shown[1]
    if isinstance(decided, Spent):
        return _spent(decided)
    return _unpriced(decided) if isinstance(decided, Unpriced) else _UNKNOWN


def _granted(allowed: Reply, decided: Granted) -> Reply:
    more, said = _NOTHING if decided.hold is None else _hold(decided.hold)
    for left in (decided.tokens, decided.cost):
        if left is not None:
            more, said = _with_left(more, said, *left)
    headers = allowed.headers if isinstance(allowed.headers, Block) else Block.of(allowed.headers)
    return Reply(allowed.status, headers.plus(more, said), allowed.body)


def _with_left(
    lines: HeaderLines, said: bytes, budget: Budget, left: int, reset: float | None
) -> tuple[HeaderLines, bytes]:
    """The lines and what is left of a budget, with all of them encoded."""
    lasting, lasting_said, name = _lasting(budget, None if reset is None else math.ceil(reset))
    line = name, f"{money(left)} {budget.currency}".encode() if budget.currency else b"%d" % left
    return (*lines, *lasting, line), said + lasting_said + b"%s: %s\r\n" % line


# What is the same for many calls is put together once.

_NOTHING: tuple[HeaderLines, bytes] = ((), b"")


@lru_cache(maxsize=4096)
def _hold(hold: record.Hold) -> tuple[HeaderLines, bytes]:
    lines = ((_HELD, bytes(hold)),)
    return lines, encoded(lines)


@lru_cache(maxsize=4096)
def _lasting(budget: Budget, reset: int | None) -> tuple[HeaderLines, bytes, bytes]:
    """How much it is of, and in how many seconds it begins anew, as OpenAI writes it: ``6m0s``; the same
    encoded; and the name of the header that says what is left."""
    limit, remaining, again = _COST if budget.currency else _TOKENS
    amount = f"{money(budget.amount)} {budget.currency}" if budget.currency else str(budget.amount)
    lines = [(limit, amount.encode())]
    if reset is not None:
        minutes, seconds = divmod(reset, 60)
        lines.append((again, (f"{minutes}m{seconds}s" if minutes else f"{seconds}s").encode()))
    return tuple(lines), encoded(lines), remaining


def _spent(decided: Spent) -> Reply:
    budget = decided.budget
    whose = f"subscription `{decided.subscription}`'s limit" if decided.subscription else "this API key's budget"
    again = "" if decided.reset is None else f"; it begins anew in {math.ceil(decided.reset)} s"
    lines, _ = _with_left(*_NOTHING, budget, 0, decided.reset)
    headers = {name.decode(): value.decode() for name, value in lines}
    headers["x-should-retry"] = "false"
    if decided.reset is not None:
        headers["retry-after"] = str(math.ceil(decided.reset))
    return errors.sdk(
        429,
        f"You exceeded your current quota: {whose} of {budget} is spent{again}",
        kind="insufficient_quota",
        code="insufficient_quota",
        headers=tuple(headers.items()),
    ).reply()


def _unpriced(decided: Unpriced) -> Reply:
    return errors.sdk(
        403,
        f"This API key's budget is in {decided.currency}, and the model `{decided.model}` has no price in it: call one "
        "that has, or ask an operator to give this one a price (0 where it is free)",
        code="model_without_price",
        param="model",
        headers=(("x-should-retry", "false"),),
    ).reply()


_UNKNOWN = errors.sdk(
    503,
    "The budget of this call could not be checked now; try again",
    code="unavailable",
    headers=(("Retry-After", "1"),),
).reply()
