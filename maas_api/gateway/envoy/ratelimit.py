"""Rates of under an hour, kept by a rate limit service that Envoy asks: requests before a call, tokens after it.

Envoy tells the service who calls which model and what that took; how much is too much stands in the service's own
configuration. Three descriptors of the domain ``maas``, each with ``subscription``, ``model`` and ``user``:

=====================  ============  ===============================================================================
``kind``               when          adds
=====================  ============  ===============================================================================
``requests``           before        1
``tokens``             before        nothing: whether there are any left
``tokens``             at the end    input and output together, as :mod:`.metering` reads them, in every dialect. A call
                                     that does not say what it took adds nothing
=====================  ============  ===============================================================================

Each adds by itself (``hits_addend`` of a descriptor, Envoy 1.33 and newer). While the service does not answer, calls
pass.
"""

from __future__ import annotations

from typing import Final

from maas_api.gateway.envoy.clusters import RATE_LIMITS
from maas_api.gateway.envoy.metering import NAMESPACE, TOTAL
from maas_api.gateway.envoy.xds import Json, extension, typed
from maas_api.gateway.quota import SAID
from maas_api.usage import record

DOMAIN: Final = "maas"
FILTER: Final = "envoy.filters.http.ratelimit"
REQUESTS, TOKENS = "requests", "tokens"
NO_SUBSCRIPTION: Final = "none"
"""What stands for the subscription of a caller without one."""
_TIMEOUT: Final = "0.25s"
"""Longest that a call waits for the service before it passes."""
_RESET: Final = "%RESP(X-RATELIMIT-RESET)%"


def rate_limiter() -> Json:
    """The filter. It stands behind what knows the caller, and before nothing else that waits."""
    return extension(
        FILTER,
        "envoy.extensions.filters.http.ratelimit.v3.RateLimit",
        domain=DOMAIN,
        timeout=_TIMEOUT,
        failure_mode_deny=False,
        enable_x_ratelimit_headers="DRAFT_VERSION_03",
        disable_x_envoy_ratelimited_header=True,
        rate_limit_service={
            "grpc_service": {"envoy_grpc": {"cluster_name": RATE_LIMITS}},
            "transport_api_version": "V3",
        },
    )


def rate_limits(caller: str) -> Json:
    """What the service is told of each call: a virtual host's configuration of filters, since Envoy heeds a
    descriptor's own ``hits_addend`` nowhere else. ``caller`` is the metadata that knows whose a call is."""
    total = f"%DYNAMIC_METADATA({NAMESPACE}:{TOTAL})%"
    told: list[Json] = [
        {"actions": _descriptor(REQUESTS, caller)},
        {"actions": _descriptor(TOKENS, caller), "hits_addend": {"number": 0}},
        {"actions": _descriptor(TOKENS, caller), "hits_addend": {"format": total}, "apply_on_stream_done": True},
    ]
    return {FILTER: typed("envoy.extensions.filters.http.ratelimit.v3.RateLimitPerRoute", rate_limits=told)}


def _descriptor(kind: str, caller: str) -> list[Json]:
    return [
        {"generic_key": {"descriptor_key": "kind", "descriptor_value": kind}},
        _said("subscription", caller, record.SUBSCRIPTION, default_value=NO_SUBSCRIPTION),
        _said("model", caller, record.MODEL),  # without one there is no descriptor: nothing runs
        _said("user", caller, record.USER),
    ]


def _said(key: str, caller: str, name: str, **more: str) -> Json:
    where = {"key": caller, "path": [{"key": SAID[name]}]}
    return {"metadata": {"descriptor_key": key, "metadata_key": where, "source": "DYNAMIC", **more}}


def refusal() -> Json:
    """How Envoy says no, in the shape both SDKs read: a mapper of local replies. They wait for as long as they are told
    and try again by themselves."""
    error = {
        "message": "You call this model more often, or for more tokens, than your subscription allows in this time",
        "type": "rate_limit_error",
        "param": None,
        "code": "rate_limit_exceeded",
    }
    return {
        "filter": {"response_flag_filter": {"flags": ["RL"]}},
        "headers_to_add": [{"header": {"key": "retry-after", "value": _RESET}}],
        "body_format_override": {
            "json_format": {"type": "error", "error": error},
            "content_type": "application/json",
        },
    }
