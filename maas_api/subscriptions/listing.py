"""What a caller sees of their subscriptions, and which models those open."""

from __future__ import annotations

from typing import Any, NamedTuple

from maas_api import errors
from maas_api.identity.headers import Identity
from maas_api.subscriptions.directory import Directory, View
from maas_api.subscriptions.model import FAILED, ModelRef, Subscription

NO_STORE = (("Cache-Control", "no-store"),)


def model_ref(ref: ModelRef, view: View) -> dict[str, Any]:
    """One model of a subscription. Its namespace stays hidden; what its MaaSModelRef says is added where known."""
    info = view.models.get(ref.key)
    body: dict[str, Any] = {"name": ref.key.name}
    if info is not None:
        body |= {
            "model_name": info.model_name,
            "display_name": info.display_name,
            "description": info.description,
            "source": info.source,
        }
    body["token_rate_limits"] = [limit._asdict() for limit in ref.limits]
    body["billing_rate"] = {"per_token": ref.per_token} if ref.per_token is not None else None
    return {name: value for name, value in body.items() if value}


def entry(subscription: Subscription, refs: tuple[ModelRef, ...], view: View) -> dict[str, Any]:
    """One subscription of a listing, with the models given."""
    body: dict[str, Any] = {
        "subscription_id_header": subscription.name,
        "subscription_description": subscription.description,
    }
    if subscription.display_name:
        body["display_name"] = subscription.display_name
    body["priority"] = subscription.priority
    body["model_refs"] = [model_ref(ref, view) for ref in refs]
    optional = {
        "organization_id": subscription.organization_id,
        "cost_center": subscription.cost_center,
        "labels": dict(subscription.labels),
    }
    return body | {name: value for name, value in optional.items() if value}


def for_caller(view: View, who: Identity) -> list[dict[str, Any]]:
    """The caller's usable subscriptions with the models that policies open to them, in name order."""
    return [entry(subscription, refs, view) for subscription, refs in view.visible(who)]


def for_model(view: View, who: Identity, model: str) -> list[dict[str, Any]]:
    """The caller's subscriptions, whatever their phase, that refer to a model of this name, in name order."""
    found = [item for item in view.owned(who) if any(ref.key.name == model for ref in item.models)]
    return [entry(item, item.models, view) for item in sorted(found, key=lambda item: item.qualified.split("/")[::-1])]


class SubscriptionLabel(NamedTuple):
    """How a listed model names a subscription that opens it."""

    name: str
    display_name: str
    description: str


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
