"""What the authorizer adds to its yes so that a call is counted and held for, and its no to a spent budget. Pure."""

from __future__ import annotations

import math

from maas_api import errors
from maas_api.access.caller import Caller
from maas_api.usage import record
from maas_api.usage.budgets.decisions import Decision, Granted, Spent
from maas_api.wire import HeaderLines, Reply

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

LIMIT, REMAINING, RESET = (f"x-ratelimit-{name}-tokens" for name in ("limit", "remaining", "reset"))
_KEY, _USER, _SUBSCRIPTION, _MODEL, _PROVIDER, _HELD = (name.encode() for name in SAID.values())
_LIMIT, _REMAINING, _RESET = (name.encode() for name in (LIMIT, REMAINING, RESET))
LEFT_HEADERS = (LIMIT, REMAINING, RESET)
"""OpenAI's names for what is left; of several budgets the one with the least."""


def counted(caller: Caller, key_id: str, model: str, provider: str) -> HeaderLines:
    """What a call is counted under."""
    said = (
        (_KEY, key_id),
        (_USER, caller.who.username),
        (_SUBSCRIPTION, caller.subscription),
        (_MODEL, model),
        (_PROVIDER, provider),
    )
    return tuple([(name, value.encode()) for name, value in said if value])


def held(allowed: Reply, decided: Decision) -> Reply:
    """The yes with what is held for the call and what is left, or the no."""
    if isinstance(decided, Granted):
        lines: HeaderLines = (
            (_HELD, b"%d.%d" % (decided.held, decided.generation)),
            (_LIMIT, b"%d" % decided.budget.tokens),
            (_REMAINING, b"%d" % decided.left),
        )
        if decided.reset is not None:
            lines = (*lines, (_RESET, _duration(decided.reset).encode()))
        return Reply(allowed.status, allowed.headers + lines, allowed.body)
    if isinstance(decided, Spent):
        return _spent(decided)
    return _UNKNOWN


def _spent(decided: Spent) -> Reply:
    again = "" if decided.reset is None else f"; it begins anew in {math.ceil(decided.reset)} s"
    headers = {**_left(decided.budget.tokens, 0, decided.reset), "x-should-retry": "false"}
    if decided.reset is not None:
        headers["retry-after"] = str(math.ceil(decided.reset))
    return errors.sdk(
        429,
        f"You exceeded your current quota: this API key's budget of {decided.budget} is spent{again}",
        kind="insufficient_quota",
        code="insufficient_quota",
        headers=tuple(headers.items()),
    ).reply()


_UNKNOWN = errors.sdk(
    503,
    "This API key's budget could not be checked now; try again",
    code="unavailable",
    headers=(("Retry-After", "1"),),
).reply()


def _left(limit: int, left: int, reset: float | None) -> dict[str, str]:
    found = {LIMIT: str(limit), REMAINING: str(left)}
    return found if reset is None else {**found, RESET: _duration(reset)}


def _duration(seconds: float) -> str:
    """As OpenAI writes it: ``6m0s``."""
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
