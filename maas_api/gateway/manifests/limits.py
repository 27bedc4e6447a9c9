"""Rates of under an hour: what the gateway asks a rate limit service, and that service's configuration.

The service is envoyproxy/ratelimit, or one that adds for each descriptor as it does. Kuadrant's Limitador, asked by
Envoy's protocol, takes one number for a whole request, and what would go over a limit it does not add at all: so it
counts requests there and no tokens. Behind Kuadrant's own protocol it does (TokenRateLimitPolicy, :mod:`.ratelimit`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import yaml

from maas_api.gateway.envoy import ratelimit
from maas_api.gateway.envoy.clusters import RATE_LIMITS, grpc_cluster
from maas_api.gateway.envoy.xds import Json, typed
from maas_api.gateway.manifests.options import OptionError, Options
from maas_api.gateway.manifests.resources import Manifest, on_gateway, resource
from maas_api.gateway.manifests.usage import CALLER, patch

NAME: Final = "maas-rate-limits"
HOUR: Final = 3600
_LAST: Final = 11
"""Priority of the EnvoyFilter: behind what sends a call at the root to its route, without which none is limited."""
_UNITS: Final = {1: "second", 60: "minute"}
_PARTS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


class Rate(NamedTuple):
    """So many requests or tokens in a window, for each user. ``subscription`` and ``model`` are "" for each of all."""

    kind: Literal["requests", "tokens"]
    limit: int
    seconds: int
    subscription: str = ""
    model: str = ""


def seconds_of(window: str) -> float:
    """A window such as ``1m`` or ``1h30m`` in seconds. Raises OptionError."""
    parts = re.findall(r"([0-9]{1,9})(ms|h|m|s)", window)
    if not parts or "".join(map("".join, parts)) != window:
        raise OptionError(f"rate-limit: must have a window such as 1s or 1m, got {window!r}")
    return sum(int(number) * _PARTS[unit] for number, unit in parts)


def rate(kind: str, limit: int, window: str, subscription: str = "", model: str = "") -> Rate:
    """A rate that the service can keep. Raises OptionError for any other."""
    if kind not in (ratelimit.REQUESTS, ratelimit.TOKENS):
        raise OptionError(f"rate-limit: must be of requests or tokens, got {kind[:40]!r}")
    if not 1 <= limit < 2**32:
        raise OptionError(f"rate-limit: must allow 1 to {2**32 - 1} {kind}, got {limit}")
    seconds = seconds_of(window)
    if seconds not in _UNITS:
        raise OptionError(
            f"rate-limit: the rate limit service counts by the second (1s) and the minute (1m), got {window!r}; "
            "hours and more are budgets of keys"
        )
    return Rate("requests" if kind == "requests" else "tokens", limit, int(seconds), subscription, model)


def service_configuration(rates: Iterable[Rate]) -> dict[str, Any]:
    """The configuration of envoyproxy/ratelimit. What is named counts before what is for all. Raises OptionError for
    two rates of one thing: the service keeps one."""
    tree: dict[str, dict[str, dict[str, Rate]]] = {}
    for item in rates:
        models = tree.setdefault(item.kind, {}).setdefault(item.subscription, {})
        if item.model in models:
            raise OptionError(f"rate-limit: {_shown(item)} has two, and the service keeps one for each")
        models[item.model] = item
    kinds = [
        _node("kind", kind, [_subscription(name, subscriptions) for name in sorted(subscriptions)])
        for kind, subscriptions in sorted(tree.items())
    ]
    return {"domain": ratelimit.DOMAIN, "descriptors": kinds}


def _subscription(name: str, all_of_them: Mapping[str, Mapping[str, Rate]]) -> Json:
    """The service looks for what has a value first, and goes back to what has none nowhere: so it is there, too."""
    models = {**all_of_them.get("", {}), **all_of_them[name]}
    return _node("subscription", name, [_node("model", model, [_leaf(item)]) for model, item in sorted(models.items())])


def _node(key: str, value: str, below: list[Json]) -> Json:
    return {"key": key, **({"value": value} if value else {}), "descriptors": below}


def _leaf(item: Rate) -> Json:
    return {"key": "user", "rate_limit": {"unit": _UNITS[item.seconds], "requests_per_unit": item.limit}}


def _shown(item: Rate) -> str:
    return f"{item.kind} of {item.model or 'every model'} in {item.subscription or 'every subscription'}"


def rate_limited(options: Options, rates: Sequence[Rate]) -> list[Manifest]:
    """The gateway's part, and the service's configuration; nothing without a service."""
    if options.rate_limit_service is None:
        if rates:
            raise OptionError("rate-limit: needs --rate-limit-service, which counts")
        return []
    if options.metering == "off":
        raise OptionError("rate-limit-service: needs --metering, which knows who calls and what it took")
    host, port = options.rate_limit_service
    reply = typed(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        local_reply_config={"mappers": [ratelimit.refusal()]},
    )
    limits = {"typed_per_filter_config": ratelimit.rate_limits(CALLER)}
    router = {"subFilter": {"name": "envoy.filters.http.router"}}
    patches = [
        {
            "applyTo": "CLUSTER",
            "match": {"context": "GATEWAY"},
            "patch": {"operation": "ADD", "value": grpc_cluster(RATE_LIMITS, host, port)},
        },
        patch("HTTP_FILTER", "INSERT_BEFORE", ratelimit.rate_limiter(), router),
        patch("NETWORK_FILTER", "MERGE", {"typed_config": reply}, {}),
        {"applyTo": "VIRTUAL_HOST", "match": {"context": "GATEWAY"}, "patch": {"operation": "MERGE", "value": limits}},
    ]
    spec = {"targetRefs": on_gateway(options), "priority": _LAST, "configPatches": patches}
    name = f"{options.gateway}-rate-limits"
    found = resource("networking.istio.io/v1alpha3", "EnvoyFilter", name, options, spec=spec)
    found["metadata"]["namespace"] = options.gateway_namespace
    if not rates:
        return [found]
    text = yaml.safe_dump(service_configuration(rates), sort_keys=False)
    config = resource("v1", "ConfigMap", NAME, options, data={"config.yaml": text})
    config["metadata"]["namespace"] = options.api.namespace
    return [config, found]
