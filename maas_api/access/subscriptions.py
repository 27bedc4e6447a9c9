"""Which MaaSModelRefs a caller's subscriptions open."""

from __future__ import annotations

from maas_api import errors
from maas_api.access.decision import SubscriptionLabel
from maas_api.identity.headers import Identity
from maas_api.subscriptions.directory import Directory, View
from maas_api.subscriptions.listing import NO_STORE
from maas_api.subscriptions.model import FAILED, ModelRef, Subscription


class Visibility:
    """Which MaaSModelRefs a caller of ``GET /v1/models`` may see, by their subscriptions."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def restriction(
        self, who: Identity, requested: str, *, api_key: bool
    ) -> dict[str, tuple[SubscriptionLabel, ...]] | None:
        """The models open to the caller: ``namespace/name`` -> the subscriptions that open each; None: no restriction.

        An API key sees what the subscription bound to it refers to; a platform user the same for one they name, else
        the union of what they can use. Unrestricted where the kind does not exist, and (as in the Go service) for a
        named subscription without any model. Raises ApiError 403 permission_error, 503 before the first state.
        """
        view = self._directory.view
        if api_key and not requested:
            raise errors.sdk(403, "API key has no subscription bound")
        if view is None:
            if self._directory.known:
                return None
            raise errors.sdk(503, "Subscriptions are not known yet, try again", headers=NO_STORE)
        if not requested:
            return _union(view.visible(who))
        chosen = _named(view, who, requested)
        return _union([(chosen, chosen.models)]) if chosen.models else None


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


def _union(
    pairs: list[tuple[Subscription, tuple[ModelRef, ...]]],
) -> dict[str, tuple[SubscriptionLabel, ...]]:
    found: dict[str, tuple[SubscriptionLabel, ...]] = {}
    for item, refs in pairs:
        label = SubscriptionLabel(item.name, item.display_name, item.description)
        for key in dict.fromkeys(str(ref.key) for ref in refs):
            found[key] = (*found.get(key, ()), label)
    return found
