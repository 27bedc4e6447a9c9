"""Which subscription a new key is bound to."""

from __future__ import annotations

from maas_api import errors
from maas_api.identity.headers import Identity
from maas_api.subscriptions.directory import Directory, State
from maas_api.subscriptions.model import FAILED, Subscription

UNRECONCILED_MESSAGE = "subscription is unreconciled (no status.phase set)"
FAILED_MESSAGE = "subscription is in Failed phase (cannot create API keys)"


def invalid() -> errors.ApiError:
    """One answer for unknown, foreign, ambiguous and none: a caller learns nothing about others' subscriptions."""
    return errors.plain(400, "Unable to resolve a subscription for this API key", code="invalid_subscription")


def resolve(state: State, who: Identity, requested: str) -> Subscription:
    """The caller's subscription by name, or their preferred one where ``requested`` is empty.

    The preferred one is taken whatever its phase (as the Go service does: a broken one denies at the gateway, it does
    not change what keys are bound to). One asked for by name must be reconciled and not Failed.
    Raises ApiError: 400 invalid_subscription; 403 or 400 subscription_not_ready.
    """
    if not requested:
        owned = state.owned(who)
        if not owned:
            raise invalid()
        return owned[0]
    found = state.named(requested)
    if len(found) != 1 or not state.owns(who, found[0]):
        raise invalid()
    chosen = found[0]
    if chosen.phase == FAILED:
        raise errors.plain(403, FAILED_MESSAGE, code="subscription_not_ready")
    if not chosen.phase:
        raise errors.plain(400, UNRECONCILED_MESSAGE, code="subscription_not_ready")
    return chosen


class Resolver:
    """Answers the key service from the directory; where the kind does not exist, with the configured default."""

    def __init__(self, directory: Directory, default: str) -> None:
        """``default``: the subscription of an installation without the kind; empty: minting is refused there."""
        self._directory = directory
        self._default = default

    def resolve(self, who: Identity, requested: str) -> str:
        """The bare name of the subscription to bind. Raises ApiError, see :func:`resolve`; 503 before the source's
        first answer."""
        state = self._directory.state
        if state is not None:
            return resolve(state, who, requested).name
        if not self._directory.known:
            raise errors.plain(
                503,
                "Subscriptions are not known yet, try again",
                code="subscriptions_unknown",
                headers=(("Retry-After", "1"),),
            )
        if not self._default or requested not in ("", self._default):
            raise invalid()
        return self._default
