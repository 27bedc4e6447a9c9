"""What a caller sees of their subscriptions, and which models those open."""

from __future__ import annotations

from typing import Any

from maas_api.identity.headers import Identity
from maas_api.subscriptions.directory import State
from maas_api.subscriptions.model import ModelRef, Subscription

NO_STORE = (("Cache-Control", "no-store"),)


def model_ref(ref: ModelRef, state: State) -> dict[str, Any]:
    """One model of a subscription. Its namespace stays hidden; what its MaaSModelRef says is added where known."""
    info = state.models.get(ref.key)
    body: dict[str, Any] = {"name": ref.key.name}
    if info is not None:
        body |= {
            "model_name": info.alias,
            "display_name": info.display_name,
            "description": info.description,
            "source": info.source,
        }
    body["token_rate_limits"] = [limit._asdict() for limit in ref.limits]
    body["billing_rate"] = {"per_token": ref.per_token} if ref.per_token is not None else None
    return {name: value for name, value in body.items() if value}


def entry(subscription: Subscription, refs: tuple[ModelRef, ...], state: State) -> dict[str, Any]:
    """One subscription of a listing, with the models given."""
    body: dict[str, Any] = {
        "subscription_id_header": subscription.name,
        "subscription_description": subscription.description,
    }
    if subscription.display_name:
        body["display_name"] = subscription.display_name
    body["priority"] = subscription.priority
    body["model_refs"] = [model_ref(ref, state) for ref in refs]
    optional = {
        "organization_id": subscription.organization_id,
        "cost_center": subscription.cost_center,
        "labels": dict(subscription.labels),
    }
    return body | {name: value for name, value in optional.items() if value}


def for_caller(state: State, who: Identity) -> list[dict[str, Any]]:
    """The caller's usable subscriptions with the models that policies open to them, in name order."""
    return [entry(subscription, refs, state) for subscription, refs in state.visible(who)]


def for_model(state: State, who: Identity, model: str) -> list[dict[str, Any]]:
    """The caller's subscriptions, whatever their phase, that refer to a model of this name which some policy opens to
    the caller, in name order. All models of such a subscription are told."""
    authorized = state.authorized(who)
    found = [
        item for item in state.owned(who) if any(ref.key.name == model and ref.key in authorized for ref in item.models)
    ]
    return [entry(item, item.models, state) for item in sorted(found, key=lambda item: item.qualified.split("/")[::-1])]
