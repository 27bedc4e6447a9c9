"""Envoy routes: which path leads where, and what is asked of the authorizer on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from maas_api.gateway.envoy import clusters
from maas_api.gateway.envoy.cors import cors_policy
from maas_api.gateway.envoy.metering import AUTHZ
from maas_api.gateway.envoy.model_name import nameless, unread
from maas_api.gateway.envoy.plan import LocalRoute, Plan, ProviderRoute, Upstream
from maas_api.gateway.envoy.ratelimit import rate_limits
from maas_api.gateway.envoy.xds import Json, extension, typed
from maas_api.gateway.paths import API_PATHS, PREFIXED_API

ROUTES = "maas"
EXT_AUTHZ = "envoy.filters.http.ext_authz"
_PER_ROUTE = "envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute"
CUSTOM_RESPONSE = "envoy.filters.http.custom_response"
CUSTOM_RESPONSE_CONFIG = "envoy.extensions.filters.http.custom_response.v3.CustomResponse"
"""The name of the filter, and of its message."""
CREDENTIAL_REFUSED = 502
"""What a client gets where a provider refuses the gateway's own key."""

ROUTE_HEADER = "x-maas-route"
"""Where the authorizer sends a call at the root."""
PROVIDER_HEADER = "x-maas-provider"
"""Tells maas-api whose list of models is asked for."""

_MODEL_IDLE = "600s"  # a reasoning model may think for minutes before its first token
_API_TIMEOUT = "30s"


def route_configuration(plan: Plan) -> Json:
    """The route table: the first match wins, and what matches nothing is 404."""
    routes = [
        _no_upgrade(),
        *([_preflight_of_a_page()] if plan.cors_origins else []),
        _preflight(),
        *_at_root(plan),
        *(_model(model, plan.include_usage) for model in plan.models),
        *(item for route in plan.providers for item in _provider(route, plan.maas_api)),
        *_api(plan.maas_api),
        _unrouted(to_a_route=bool(plan.cors_origins)),
        _nothing(),
    ]
    host: Json = {"name": ROUTES, "domains": ["*"], "routes": routes}
    limited = {} if plan.rate_limit_service is None else rate_limits(AUTHZ)
    if filters := {**cors_policy(plan.cors_origins), **limited}:
        host["typed_per_filter_config"] = filters
    return {"name": ROUTES, "virtual_hosts": [host]}


def _at_root(plan: Plan) -> Iterator[Json]:
    """Calls at the root, by the route that the authorizer chose for the model in the body."""
    for model in plan.models:
        name = clusters.model_cluster(model)
        match = {"prefix": "/v1/", "headers": [_chosen(model.path_prefix.strip("/"))]}
        yield {
            "name": f"root/{name}",
            "match": match,
            "route": _to_model(name, model.upstream, rewrite=f"{model.upstream.base_path}v1/"),
        }
    for route in plan.providers:
        chosen = _chosen(f"external/{route.provider.name}")
        rewrite = f"{route.upstream.base_path}{route.provider.v1}"
        for path in route.provider.bearer_paths:
            name = clusters.bearer_cluster(route)
            match = {"path": f"/v1/{path.removeprefix(route.provider.v1)}", "headers": [chosen]}
            to = _to_model(name, route.upstream, rewrite=f"{route.upstream.base_path}{path}")
            yield _guarded(f"root/{name}/{path}", match, to, route)
        name = clusters.provider_cluster(route)
        match = {"prefix": "/v1/", "headers": [chosen]}
        yield _guarded(f"root/{name}", match, _to_model(name, route.upstream, rewrite=rewrite), route)


def _chosen(route: str) -> Json:
    return {"name": ROUTE_HEADER, "string_match": {"exact": route}}


def _model(model: LocalRoute, include_usage: bool) -> Json:
    route = {
        "name": clusters.model_cluster(model),
        "match": {"prefix": model.path_prefix},
        "route": _to_model(clusters.model_cluster(model), model.upstream, rewrite=model.upstream.base_path),
    }
    if not model.several_names and not include_usage:  # the path says which model runs, and nothing is added
        route["typed_per_filter_config"] = nameless()
    return route


def _provider(route: ProviderRoute, maas_api: Upstream) -> Iterator[Json]:
    """A provider's paths. Its list of models is the catalog's, not that of the operator's whole account."""
    provider = route.provider
    listing = f"{provider.path_prefix}{provider.v1}models"
    for method in ("GET", "HEAD"):
        yield {
            "name": f"{clusters.provider_cluster(route)}/models/{method}",
            "match": {
                "path_separated_prefix": listing,
                "headers": [{"name": ":method", "string_match": {"exact": method}}],
            },
            "route": _to_api(maas_api, prefix_rewrite="/v1/models"),
            "request_headers_to_add": [
                {
                    "header": {"key": PROVIDER_HEADER, "value": provider.name},
                    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                }
            ],
            "typed_per_filter_config": unread(),
        }
    for path in provider.bearer_paths:
        name = clusters.bearer_cluster(route)
        match = {"path": f"{provider.path_prefix}{path}"}
        rewrite = f"{route.upstream.base_path}{path}"
        yield _guarded(f"{name}/{path}", match, _to_model(name, route.upstream, rewrite=rewrite), route)
    name = clusters.provider_cluster(route)
    to = _to_model(name, route.upstream, rewrite=route.upstream.base_path)
    yield _guarded(name, {"prefix": provider.path_prefix}, to, route)


def _guarded(name: str, match: Json, to: Json, route: ProviderRoute) -> Json:
    """A way to a provider: what its answers tell about the operator's account stays here."""
    return {
        "name": name,
        "match": match,
        "route": to,
        "response_headers_to_remove": list(route.provider.private_response_headers),
        "typed_per_filter_config": {CUSTOM_RESPONSE: _credential_refused()},
    }


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


def _to_model(cluster: str, upstream: Upstream, *, rewrite: str) -> Json:
    """The way to a model's server. ``rewrite`` takes the place of the matched path or prefix."""
    return {
        "cluster": cluster,
        "prefix_rewrite": rewrite,
        "host_rewrite_literal": upstream.host_header,
        "timeout": "0s",  # a stream lasts as long as it lives: only silence ends it
        "idle_timeout": _MODEL_IDLE,
        # Only where no model has seen the request: a connection that the other side was just closing, most of all.
        "retry_policy": {"retry_on": "connect-failure,refused-stream,reset-before-request", "num_retries": 1},
    }


def _to_api(upstream: Upstream, **more: Any) -> Json:
    return {
        "cluster": clusters.MAAS_API,
        "host_rewrite_literal": upstream.host_header,
        "timeout": _API_TIMEOUT,
        **more,
    }


def _api(upstream: Upstream) -> list[Json]:
    return [
        *(
            {
                "name": f"maas-api{path}",
                "match": {"path_separated_prefix": path},
                "route": _to_api(upstream),
                "typed_per_filter_config": unread(),
            }
            for path in API_PATHS
        ),
        {
            "name": "maas-api/maas-api/v1",
            "match": {"prefix": PREFIXED_API},
            "route": _to_api(upstream, prefix_rewrite="/v1/"),
            "typed_per_filter_config": unread(),
        },
        {
            "name": "maas-api/maas-api/health",
            "match": {"path": "/maas-api/health"},
            "route": _to_api(upstream, prefix_rewrite="/health"),
            "typed_per_filter_config": _open(),
        },
    ]


def _no_upgrade() -> Json:
    """A client that tries WebSocket first (Codex does, on /v1/responses) goes on without it at once on a 426."""
    return {
        "name": "no-upgrade",
        "match": {
            "prefix": "/",
            "headers": [{"name": "upgrade", "string_match": {"exact": "websocket", "ignore_case": True}}],
        },
        "direct_response": {"status": 426, "body": {"inline_string": "no WebSocket here"}},
        "typed_per_filter_config": _open(),
    }


_ASKS_FIRST: Json = {
    "prefix": "/",
    "headers": [
        {"name": ":method", "string_match": {"exact": "OPTIONS"}},
        {"name": "access-control-request-method", "present_match": True},
    ],
}
"""A browser's question before a call, which carries no credential."""

_NOWHERE: Json = {"cluster": "nowhere", "cluster_not_found_response_code": "SERVICE_UNAVAILABLE"}
"""Envoy's CORS filter looks at routes that lead somewhere, not at answers made on the spot. Nothing is there: 503."""


def _preflight() -> Json:
    """Without an answer that allows its origin the page stays outside."""
    return {
        "name": "preflight",
        "match": _ASKS_FIRST,
        "direct_response": {"status": 204},
        "typed_per_filter_config": _open(),
    }


def _preflight_of_a_page() -> Json:
    """The CORS filter answers for the origins that are allowed. To any other the answer is one that allows nothing."""
    return {
        "name": "preflight of a page",
        "match": {**_ASKS_FIRST, "headers": [*_ASKS_FIRST["headers"], {"name": "origin", "present_match": True}]},
        "route": _NOWHERE,
        "typed_per_filter_config": _open(),
    }


def _unrouted(*, to_a_route: bool) -> Json:
    """A call at the root before the authorizer chose a route, or whose route is not here (yet)."""
    answer = {"route": _NOWHERE} if to_a_route else {"direct_response": {"status": 503, "body": _NOT_ROUTED}}
    return {"name": "unrouted", "match": {"prefix": "/v1/"}, **answer}


_NOT_ROUTED = {"inline_string": "not routed"}


def _nothing() -> Json:
    return {
        "name": "nothing",
        "match": {"prefix": "/"},
        "direct_response": {"status": 404, "body": {"inline_string": "no such route"}},
        "typed_per_filter_config": _open(),
    }


def _open() -> Json:
    """Ask no authorizer: the answer is the same for everybody."""
    return {EXT_AUTHZ: typed(_PER_ROUTE, disabled=True), **unread()}
