"""Which MaaSModelRefs a caller's subscriptions open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from maas_api import errors
from maas_api.access.decision import SubscriptionLabel
from maas_api.identity.headers import Identity
from maas_api.subscriptions.directory import Directory, View
from maas_api.subscriptions.listing import NO_STORE
from maas_api.subscriptions.model import FAILED, ModelRef, Subscription


class Opened(NamedTuple):
    """The MaaSModelRefs open to a caller: ``namespace/name`` -> the subscriptions that open each, and those that open
    every model there is."""

    models: Mapping[str, tuple[SubscriptionLabel, ...]]
    every: tuple[SubscriptionLabel, ...] = ()

    def by(self, reference: str) -> tuple[SubscriptionLabel, ...]:
        """The subscriptions that open a model; empty where none does."""
        return self.models.get(reference, self.every)


class Visibility:
    """Which MaaSModelRefs a caller of ``GET /v1/models`` may see, by their subscriptions."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def restriction(self, who: Identity, requested: str, *, api_key: bool) -> Opened | None:
        """What is open to the caller; None where the kind does not exist: no restriction.

        An API key sees what the subscription bound to it refers to; a platform user the same for one they name, else
        the union of what they can use. A named subscription that refers to no model opens (as in the Go service)
        every one. Raises ApiError 403 permission_error, 503 before the first state.
        """
        view = self._directory.view
        if api_key and not requested:
            raise errors.sdk(403, "API key has no subscription bound")
        if view is None:
            if self._directory.known:
                return None
            raise errors.sdk(503, "Subscriptions are not known yet, try again", headers=NO_STORE)
        if not requested:
            return Opened(_union(view.visible(who)))
        chosen = _named(view, who, requested)
        return Opened(_union([(chosen, chosen.models)])) if chosen.models else Opened({}, (_label(chosen),))


def _named(view: View, who: Identity, requested: str) -> Subscription:
    if not view.subscriptions:
        raise errors.sdk(403, "no matching subscription found for user", headers=NO_STORE)
    found = view.named(requested)
    if len(found) != 1 or not view.owns(who, found[0]):
        raise errors.sdk(403, "access denied to requested subscription", headers=NO_STORE)
    if found[0].phase in ("", FAILED):
        # The Go service says 500 here; a subscription that is not ready is not a fault of this server.
        raise errors.sdk(403, "requested subscription is not ready", headers=NO_STORE)
    return found[0]


def _label(item: Subscription) -> SubscriptionLabel:
    return SubscriptionLabel(item.name, item.display_name, item.description)


def _union(
    pairs: list[tuple[Subscription, tuple[ModelRef, ...]]],
) -> dict[str, tuple[SubscriptionLabel, ...]]:
    found: dict[str, tuple[SubscriptionLabel, ...]] = {}
    for item, refs in pairs:
        label = _label(item)
        for key in dict.fromkeys(str(ref.key) for ref in refs):
            found[key] = (*found.get(key, ()), label)
    return found
