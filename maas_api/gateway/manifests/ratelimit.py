"""Kuadrant's TokenRateLimitPolicy of a provider: how many tokens each caller may use."""

from __future__ import annotations

from collections.abc import Sequence

from maas_api.gateway.manifests.options import Options, Target, TokenLimit
from maas_api.gateway.manifests.resources import Manifest, on_route, resource, route_name


def token_rate_limit_policy(options: Options, target: Target, limits: Sequence[TokenLimit]) -> Manifest:
    """Limits by the caller's name, which the AuthPolicy exports as ``auth.identity.userid``."""
    spec = {"targetRef": on_route(target), "limits": tokens_per_caller(limits)}
    name = f"{route_name(target)}-trlp"
    return resource("kuadrant.io/v1alpha1", "TokenRateLimitPolicy", name, options, target, spec=spec)


def tokens_per_caller(limits: Sequence[TokenLimit]) -> Manifest:
    """The limits themselves."""
    rates = [{"limit": limit.limit, "window": limit.window} for limit in limits]
    return {"tokens-per-caller": {"rates": rates, "counters": [{"expression": "auth.identity.userid"}]}}
