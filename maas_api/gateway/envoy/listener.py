"""The Envoy listener: what happens to a request before it is routed, and how Envoy says no by itself."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from maas_api.access import named
from maas_api.gateway import quota
from maas_api.gateway.envoy import clusters, metering, ratelimit, repeater, routes
from maas_api.gateway.envoy.cors import cors_filter
from maas_api.gateway.envoy.model_name import several_readers
from maas_api.gateway.envoy.plan import Plan
from maas_api.gateway.envoy.secrecy import KEY_SHAPE
from maas_api.gateway.envoy.xds import Json, extension, watched
from maas_api.identity import headers
from maas_api.providers import CREDENTIAL_HEADERS

LISTENER = "maas"
AUTHORIZER_PATH = "/internal/v1/authz"
"""Where maas-api answers the gateway's question; the original path follows."""
AUTHORIZER_TIMEOUT = "2s"
"""A ceiling for a broken network; the authorizer itself answers or gives up much sooner."""

IDENTITY_HEADERS = tuple(
    name.lower() for name in (headers.USERNAME, headers.GROUP, headers.SUBSCRIPTION, headers.MODELS, headers.BUDGET)
)
"""What the authorizer says about a caller, for maas-api."""

READ_HEADERS = tuple(name.lower() for name in named.HEADERS)
"""What the gateway's filter read in the body, for the authorizer."""

QUESTION_HEADERS = (*CREDENTIAL_HEADERS, headers.SUBSCRIPTION.lower(), "x-request-id", *READ_HEADERS)
"""What of a request's headers the authorizer is shown."""

ANSWER_HEADERS = ("authorization", *IDENTITY_HEADERS, routes.ROUTE_HEADER)
"""What it may set on a request that passes."""

REFUSAL_HEADERS = ("allow", "content-type", "www-authenticate", "retry-after", "x-should-retry", *quota.LEFT_HEADERS)
"""What of its refusal the client is shown."""


def listener_resource(plan: Plan, folder: Path, *, repeats: bool = False) -> Json:
    """The listener that clients call. Its routes come from ``routes.yaml`` in ``folder``, and again when that changes.
    ``repeats``: usage goes to maas-api by the repeater."""
    return {
        "name": LISTENER,
        "address": clusters.socket_address(*plan.listen),
        "per_connection_buffer_limit_bytes": plan.max_body_bytes,
        "enable_reuse_port": False,  # with it, a second process on the same port takes half of the requests unnoticed
        "filter_chains": [{"filters": [_http_connection_manager(plan, folder, repeats=repeats)]}],
    }


def _http_connection_manager(plan: Plan, folder: Path, *, repeats: bool) -> Json:
    return extension(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=LISTENER,
        rds={"route_config_name": routes.ROUTES, "config_source": watched(folder / "routes.yaml")},
        # The edge: the peer's address is the client's, and what it says about other hops is not believed.
        use_remote_address=True,
        early_header_mutation_extensions=[_strip()],
        # One spelling of a path for everyone from here on: the routes, the authorizer and what lies behind.
        # %2F is unescaped first, because SDKs write it in model ids (facebook%2Fopt-125m); the dots are resolved
        # after it, so ..%2f leads where ../ leads, and nothing behind sees another path than the one judged here.
        path_with_escaped_slashes_action="UNESCAPE_AND_FORWARD",
        normalize_path=True,
        merge_slashes=True,
        common_http_protocol_options={
            "headers_with_underscores_action": "REJECT_REQUEST",  # x_maas_username is X-MaaS-Username to WSGI
            "idle_timeout": "3600s",
        },
        request_headers_timeout="10s",
        upgrade_configs=[{"upgrade_type": "websocket"}],  # so that a route can say 426; without it Envoy says 403
        stream_idle_timeout="600s",
        local_reply_config=_local_replies(plan),
        access_log=[_access_log(), *([_usage_log(plan, repeats=repeats)] if plan.internal_secret else [])],
        http_filters=[
            _remember_for_the_log(),
            *([cors_filter()] if plan.cors_origins else []),
            several_readers(include_usage=plan.include_usage),
            _ext_authz(plan),
            *([] if plan.rate_limit_service is None else [ratelimit.rate_limiter()]),
            extension(routes.CUSTOM_RESPONSE, routes.CUSTOM_RESPONSE_CONFIG),  # does what a route tells it, or nothing
            metering.usage_reader(),
            extension("envoy.filters.http.router", "envoy.extensions.filters.http.router.v3.Router"),
        ],
    )


def _usage_log(plan: Plan, *, repeats: bool) -> Json:
    """Records go by the cluster that the authorizer is asked by, which adds the shared secret; at once or repeated."""
    host = plan.maas_api.host_header
    if not repeats:
        return metering.usage_log(host, clusters.AUTHORITY, repeater.TRY_SECONDS)
    return metering.usage_log(host, repeater.NAME, plan.usage_repeat_seconds + 1)


_OWN_HEADERS = (clusters.INTERNAL_SECRET_HEADER, routes.ROUTE_HEADER, routes.PROVIDER_HEADER)


def _strip() -> Json:
    """Before anything else looks: a client says nothing about who it is, nor how Envoy shall behave.

    The subscription stays, as a wish: the authorizer answers with the one that counts.
    """
    identity = (name for name in IDENTITY_HEADERS if name != headers.SUBSCRIPTION.lower())
    mutations: list[Json] = [
        *({"remove_on_match": {"key_matcher": {"prefix": prefix}}} for prefix in ("x-envoy-", "x-forwarded-")),
        *({"remove": name} for name in (*identity, *READ_HEADERS, *_OWN_HEADERS, "forwarded", "x-real-ip")),
    ]
    return extension(
        "envoy.http.early_header_mutation.header_mutation",
        "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
        mutations=mutations,
    )


def _remember_for_the_log() -> Json:
    """Keep the request's id, whose header is dropped on the way to a provider, and its path without what is secret."""
    return extension(
        "envoy.filters.http.header_to_metadata",
        "envoy.extensions.filters.http.header_to_metadata.v3.Config",
        request_rules=[
            {
                "header": "x-request-id",
                "on_header_present": {"metadata_namespace": "maas", "key": "request_id", "type": "STRING"},
            },
            {
                "header": ":path",
                "on_header_present": {
                    "metadata_namespace": "maas",
                    "key": "path",
                    "type": "STRING",
                    "regex_value_rewrite": {
                        "pattern": {"regex": rf"(\?).*|{_escapable(KEY_SHAPE)}[^/?]*"},
                        "substitution": r"\1[redacted]",
                    },
                },
            },
        ],
    )


def _escapable(text: str) -> str:
    """A regular expression (RE2) for ``text`` in any case, each character as it is or percent-encoded, even twice."""
    return "(?i)" + "".join(f"(?:{re.escape(char)}|%(?:25)*{ord(char):02x})" for char in text)


def _ext_authz(plan: Plan) -> Json:
    return extension(
        routes.EXT_AUTHZ,
        "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
        transport_api_version="V3",
        failure_mode_allow=False,  # no answer is a no
        clear_route_cache=True,  # a call at the root goes where the answer says
        status_on_error={"code": "ServiceUnavailable"},
        allowed_headers=_exactly(QUESTION_HEADERS),
        http_service={
            "server_uri": {
                "uri": f"http://{plan.maas_api.host_header}",
                "cluster": clusters.AUTHORITY,
                "timeout": AUTHORIZER_TIMEOUT,
            },
            "path_prefix": AUTHORIZER_PATH,
            "authorization_response": {
                "allowed_upstream_headers": _exactly(ANSWER_HEADERS),
                "allowed_client_headers": _exactly(REFUSAL_HEADERS),
                "allowed_client_headers_on_success": _exactly(quota.LEFT_HEADERS),
                "dynamic_metadata_from_headers": metering.from_authorizer(),
            },
        },
    )


def _exactly(names: Sequence[str]) -> Json:
    return {"patterns": [{"exact": name} for name in names]}


def _local_replies(plan: Plan) -> Json:
    """Envoy's own answers in the shape both SDKs read. An answer of the authorizer passes as it is.

    The flag UAEX marks both a refusal and an authorizer that could not be asked; the latter (or one that answers 5xx,
    which Envoy takes for the same and drops) is a 503. A provider's refusal of the gateway's key is the one 502
    without a flag. A provider's key that the gateway has not got is no fault of the caller's either, so no 401.
    """
    refused = {"response_flag_filter": {"flags": ["UAEX"]}}
    broken: Json = {"response_flag_filter": {}}  # any flag
    return {
        "mappers": [
            *([] if plan.rate_limit_service is None else [ratelimit.refusal()]),
            {"filter": _refused_by_the_reader(), "body_format_override": _AS_JSON},
            {
                "filter": {"and_filter": {"filters": [refused, _status(503)]}},
                "body_format_override": _error("server_error", "The key could not be checked now; try again", "auth"),
                "headers_to_add": [{"header": {"key": "retry-after", "value": "1"}}],
            },
            {
                "filter": refused,
                "body_format_override": _AS_JSON,
            },
            {
                "filter": {"and_filter": {"filters": [broken, _status(routes.CREDENTIAL_REFUSED)]}},
                "body_format_override": _GATEWAY,
            },
            {
                "filter": _status(401),
                "status_code": 502,
                "body_format_override": _error("server_error", _NO_KEY, "provider_key"),
            },
            {"filter": _status(204), "body_format_override": {"text_format_source": {"inline_string": _AS_IT_IS}}},
            *(
                {"filter": _status(status), "body_format_override": _error(kind, message, code)}
                for status, kind, message, code in _OWN_REPLIES
            ),
        ],
        "body_format": _GATEWAY,
    }


_AS_IT_IS = "%LOCAL_REPLY_BODY%"
_AS_JSON: Json = {"text_format_source": {"inline_string": _AS_IT_IS}, "content_type": "application/json"}


def _refused_by_the_reader() -> Json:
    """Of requests in which a key stands, and of bodies that cannot be looked through: the filter words its answers."""
    return {"header_filter": {"header": {"name": named.BODY_HEADER.lower(), "string_match": {"exact": "refused"}}}}


_OWN_REPLIES = (
    (400, "invalid_request_error", "The gateway refused the request (%RESPONSE_CODE_DETAILS%)", "bad_request"),
    (
        404,
        "not_found_error",
        "The gateway has no route for this path. Base URLs: its root, /external/<provider>/, /<namespace>/<model>/",
        "unknown_route",
    ),
    (408, "invalid_request_error", "The request did not arrive in time", "request_timeout"),
    (413, "invalid_request_error", "The request is larger than this gateway accepts", "request_too_large"),
    (426, "invalid_request_error", "There is no WebSocket at this gateway: send the call over HTTP", "no_websocket"),
    (431, "invalid_request_error", "The request's headers are too large", "headers_too_large"),
    (
        routes.CREDENTIAL_REFUSED,
        "server_error",
        "The provider refused the gateway's own key, not yours: tell the gateway's operator",
        "provider_credential_refused",
    ),
    (503, "server_error", "The gateway could not reach the model's server (%RESPONSE_CODE_DETAILS%)", "unreachable"),
    (504, "server_error", "The model's server did not answer in time (%RESPONSE_CODE_DETAILS%)", "timeout"),
)


def _status(code: int) -> Json:
    value = {"default_value": code, "runtime_key": f"maas.status.{code}"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}


def _error(kind: str, message: str, code: str) -> Json:
    error = {"message": message, "type": kind, "param": None, "code": code}
    return {"json_format": {"type": "error", "error": error}, "content_type": "application/json"}


_GATEWAY = _error("server_error", "The gateway could not answer (%RESPONSE_CODE_DETAILS%)", "gateway")
_NO_KEY = "The gateway has no key for this provider (%RESPONSE_CODE_DETAILS%)"


def _access_log() -> Json:
    """One line for each request, without its query, its headers or who sent it."""
    return extension(
        "envoy.access_loggers.stdout",
        "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
        log_format={
            "json_format": {
                "time": "%START_TIME%",
                "method": "%REQ(:METHOD)%",
                "path": "%DYNAMIC_METADATA(maas:path)%",  # as the client sent it, without what is secret
                "route": "%ROUTE_NAME%",
                "status": "%RESPONSE_CODE%",
                "details": "%RESPONSE_CODE_DETAILS%",
                "flags": "%RESPONSE_FLAGS%",
                "duration_ms": "%DURATION%",
                "bytes_in": "%BYTES_RECEIVED%",
                "bytes_out": "%BYTES_SENT%",
                "request_id": "%DYNAMIC_METADATA(maas:request_id)%",
            }
        },
    )
