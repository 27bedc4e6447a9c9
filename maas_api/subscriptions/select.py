"""The gateway's question at every inference: which subscription does this call count against, and is it in order?

Always answered 200 with one JSON object: policies read ``error``, ``phase`` and ``accessAllowed``, and Authorino does
not look at the status.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from maas_api.identity.headers import SPACE, Identity
from maas_api.subscriptions.directory import Directory, State
from maas_api.subscriptions.listing import model_ref
from maas_api.subscriptions.model import ACTIVE, DEGRADED, FAILED, ModelKey, ModelRef, Subscription
from maas_api.subscriptions.resolve import FAILED_MESSAGE, UNRECONCILED_MESSAGE

NONE_FOUND = "no matching subscription found for user"
NOT_FOUND = "requested subscription not found"
DENIED = "access denied to requested subscription"
MULTIPLE = "user has access to multiple subscriptions, must specify subscription using X-MaaS-Subscription header"
AMBIGUOUS = "requested subscription exists in several namespaces, use the qualified name namespace/name"
NOT_ENFORCED = "subscription rate limiting policies are not ready"
UNKNOWN = "failed to select subscription: the subscriptions are not known yet"


class SelectError(Exception):
    """A refusal: the error code, the message, and the subscription's phase where it has one to tell."""

    def __init__(self, code: str, message: str, phase: str = "") -> None:
        super().__init__(code, message)
        self.code, self.message, self.phase = code, message, phase


class Query(NamedTuple):
    """A question: who calls, the subscription asked for (or empty), the model (``namespace/name``, its name, its bare
    name, or empty)."""

    who: Identity
    subscription: str
    model: str


def answer(directory: Directory, body: bytes) -> dict[str, Any]:
    """The reply to a request body. Never raises: every failure is an answer that denies."""
    try:
        query = parse(body)
        state = directory.state
        if state is None:
            # No such kind in this cluster: nobody has a subscription. Not seen yet: nothing may be said.
            raise SelectError("not_found", NONE_FOUND) if directory.known else SelectError("internal_error", UNKNOWN)
        chosen = choose(state, query)
        ref = state.find_model(chosen, query.model) if query.model else None
        check_health(chosen, query.model, ref)
    except SelectError as refusal:
        return {
            "error": refusal.code,
            "message": refusal.message,
            "accessAllowed": False,
            "phase": refusal.phase,
            "ready": False,
        }
    return success(state, chosen, query.who, None if ref is None else ref.key)


def parse(body: bytes) -> Query:
    """The question in a request body: ``username`` (required), ``groups``, ``requestedSubscription``,
    ``requestedModel``. Raises SelectError bad_request naming the field."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise _bad("must be a JSON object") from None
    if not isinstance(value, Mapping):
        raise _bad("must be a JSON object")
    username = _string(value, "username")
    if not username:
        raise _bad("username is required")
    groups = value.get("groups")
    groups = [] if groups is None else groups
    if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
        raise _bad("groups must be a list of strings")
    who = Identity(username, tuple(group.strip(SPACE) for group in groups if group.strip()))
    return Query(who, _string(value, "requestedSubscription"), _string(value, "requestedModel"))


def _string(value: Mapping[str, Any], name: str) -> str:
    text = value.get(name)
    if text is not None and not isinstance(text, str):
        raise _bad(f"{name} must be a string")
    return (text or "").strip(SPACE)


def _bad(rule: str) -> SelectError:
    return SelectError("bad_request", f"invalid request body: {rule}")


def choose(state: State, query: Query) -> Subscription:
    """The subscription asked for, or the caller's only candidate. Raises SelectError."""
    if query.subscription:
        return _requested(state, query)
    owned = state.owned(query.who)
    candidates = [item for item in owned if state.find_model(item, query.model)] if query.model else owned
    if not candidates:
        raise SelectError("not_found", NONE_FOUND)
    if len(candidates) > 1:
        raise SelectError("multiple_subscriptions", MULTIPLE)
    return candidates[0]


def _requested(state: State, query: Query) -> Subscription:
    found = state.named(query.subscription)
    if not found:
        raise SelectError("not_found", NOT_FOUND)
    mine = [item for item in found if state.owns(query.who, item)]
    if not mine:
        raise SelectError("access_denied", DENIED)
    if len(found) > 1:
        # A key holds the bare name: guessing between two would charge, and open, the wrong one.
        raise SelectError("multiple_subscriptions", AMBIGUOUS)
    if query.model and state.find_model(mine[0], query.model) is None:
        raise SelectError(
            "model_not_in_subscription", f"subscription {query.subscription} does not include model {query.model}"
        )
    return mine[0]


def check_health(chosen: Subscription, model: str, ref: ModelRef | None) -> None:
    """Refuse what the controller does not vouch for.

    Without a model (a key is about to be made): reconciled and not Failed. With one (inference): Active, or Degraded
    with the model's rate limits in force where it has any. Raises SelectError model_unhealthy.
    """
    phase = chosen.phase
    if not model:
        if not phase:
            raise SelectError("model_unhealthy", UNRECONCILED_MESSAGE, phase)
        if phase == FAILED:
            raise SelectError("model_unhealthy", FAILED_MESSAGE, phase)
        return
    if phase not in (ACTIVE, DEGRADED):
        shown = phase or "unreconciled"
        message = f"subscription is in {shown} phase (allowed: Active, Degraded)"
        raise SelectError("model_unhealthy", message, phase)
    if phase == DEGRADED and ref and ref.limits and not chosen.enforced.get(ref.key.name, False):
        raise SelectError("model_unhealthy", NOT_ENFORCED, phase)


def success(state: State, chosen: Subscription, who: Identity, key: ModelKey | None) -> dict[str, Any]:
    """The reply for a chosen subscription. Empty fields are left out, except the three that policies read."""
    body: dict[str, Any] = {
        "name": chosen.name,
        "namespace": chosen.namespace,
        "displayName": chosen.display_name,
        "description": chosen.description,
        "priority": chosen.priority,
        "modelRefs": [model_ref(ref, state) for ref in chosen.models],
        "organizationId": chosen.organization_id,
        "costCenter": chosen.cost_center,
        "labels": dict(chosen.labels),
        "resolvedModel": str(key) if key else "",
        "deletionTimestamp": chosen.deleting,
    }
    return {name: value for name, value in body.items() if value} | {
        "accessAllowed": key is None or key in state.authorized(who),
        "phase": chosen.phase,
        "ready": chosen.ready,
    }
