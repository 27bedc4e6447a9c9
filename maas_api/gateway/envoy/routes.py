"""Envoy routes: which path leads where, and what is asked of the authorizer on it."""

from __future__ import annotations

from typing import Any

from maas_api.access.requested import JUDGED_BODY_BYTES
from maas_api.gateway.envoy import clusters
from maas_api.gateway.envoy.plan import LocalRoute, Plan, ProviderRoute, Upstream
from maas_api.gateway.envoy.xds import Json, extension, typed

ROUTES = "maas"
EXT_AUTHZ = "envoy.filters.http.ext_authz"
_PER_ROUTE = "envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute"
CUSTOM_RESPONSE = "envoy.filters.http.custom_response"
CUSTOM_RESPONSE_CONFIG = "envoy.extensions.filters.http.custom_response.v3.CustomResponse"
"""The name of the filter, and of its message."""
CREDENTIAL_REFUSED = 502
"""What a client gets where a provider refuses the gateway's own key."""

_MODEL_IDLE = "600s"  # a reasoning model may think for minutes before its first token
_API_TIMEOUT = "30s"

# What clients may reach of maas-api. /internal is not among them, by any spelling.
_API_PATHS = ("/v1/models", "/v1/api-keys", "/v1/key", "/v1/subscriptions", "/v1/usage")


def route_configuration(plan: Plan) -> Json:
    """The route table: the first match wins, and what matches nothing is 404."""
    routes = [
        *(_model(model) for model in plan.models),
        *(_provider(route) for route in plan.providers),
        *_api(plan.maas_api),
        _nothing(),
    ]
    return {"name": ROUTES, "virtual_hosts": [{"name": ROUTES, "domains": ["*"], "routes": routes}]}


def _model(model: LocalRoute) -> Json:
    route = {
        "name": clusters.model_cluster(model),
        "match": {"prefix": model.path_prefix},
        "route": _to_model(clusters.model_cluster(model), model.upstream),
    }
    if model.several_names:
        route["typed_per_filter_config"] = {EXT_AUTHZ: _with_body()}
    return route


def _provider(route: ProviderRoute) -> Json:
    name = clusters.provider_cluster(route)
    return {
        "name": name,
        "match": {"prefix": route.provider.path_prefix},
        "route": _to_model(name, route.upstream),
        "response_headers_to_remove": list(route.provider.private_response_headers),
        "typed_per_filter_config": {
            EXT_AUTHZ: _with_body(),
            CUSTOM_RESPONSE: _credential_refused(),
        },
    }


def _with_body() -> Json:
    """Show the authorizer the body, which names the model."""
    body = {
        "max_request_bytes": JUDGED_BODY_BYTES,
        # A longer body (images, long contexts) passes; who needs it judged refuses a partial one.
        "allow_partial_message": True,
    }
    return typed(_PER_ROUTE, check_settings={"with_request_body": body})


def _credential_refused() -> Json:
    """Hide a provider's 401: it is about the operator's key, shows its tail, and an SDK would blame the caller's.

    The answer is replaced when its head arrives, so nothing is held back of the others. Envoy's own 401s pass, the
    authorizer's refusals among them. What it says is among the listener's local replies, which format this one too.
    """

    def equals(name: str, message: str, value: str) -> Json:
        return {"single_predicate": {"input": extension(name, message), "value_match": {"exact": value}}}

    policy = extension(
        "provider_credential_refused",
        "envoy.extensions.http.custom_response.local_response_policy.v3.LocalResponsePolicy",
        status_code=CREDENTIAL_REFUSED,
    )
    refused = [
        equals("status", "envoy.type.matcher.v3.HttpResponseStatusCodeMatchInput", "401"),
        equals("by_envoy", "envoy.type.matcher.v3.HttpResponseLocalReplyMatchInput", "false"),
    ]
    matcher = {"predicate": {"and_matcher": {"predicate": refused}}, "on_match": {"action": policy}}
    return typed(CUSTOM_RESPONSE_CONFIG, custom_response_matcher={"matcher_list": {"matchers": [matcher]}})


def _to_model(cluster: str, upstream: Upstream) -> Json:
    return {
        "cluster": cluster,
        "prefix_rewrite": upstream.base_path,
        "host_rewrite_literal": upstream.host_header,
        "timeout": "0s",  # a stream lasts as long as it lives: only silence ends it
        "idle_timeout": _MODEL_IDLE,
        # Only where no model has seen the request: a connection that the other side was just closing, most of all.
        "retry_policy": {"retry_on": "connect-failure,refused-stream,reset-before-request", "num_retries": 1},
    }


def _api(upstream: Upstream) -> list[Json]:
    def to(**more: Any) -> Json:
        return {
            "cluster": clusters.MAAS_API,
            "host_rewrite_literal": upstream.host_header,
            "timeout": _API_TIMEOUT,
            **more,
        }

    return [
        *({"name": f"maas-api{path}", "match": {"path_separated_prefix": path}, "route": to()} for path in _API_PATHS),
        {
            "name": "maas-api/maas-api/v1",
            "match": {"prefix": "/maas-api/v1/"},
            "route": to(prefix_rewrite="/v1/"),
        },
        {
            "name": "maas-api/maas-api/health",
            "match": {"path": "/maas-api/health"},
            "route": to(prefix_rewrite="/health"),
            "typed_per_filter_config": _open(),
        },
    ]


def _nothing() -> Json:
    return {
        "name": "nothing",
        "match": {"prefix": "/"},
        "direct_response": {"status": 404, "body": {"inline_string": "no such route"}},
        "typed_per_filter_config": _open(),
    }


def _open() -> Json:
    """Ask no authorizer: the answer is the same for everybody."""
    return {EXT_AUTHZ: typed(_PER_ROUTE, disabled=True)}
