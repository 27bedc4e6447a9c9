"""What Istio makes of Telemetry resources and of extension providers for logs; a part of :mod:`tests.support.mesh`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.support.mesh_routes import TYPE, of_kind

Json = dict[str, Any]

_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_FILTER = "envoy.access_loggers.extension_filters.cel"


def telemetry(manifests: Sequence[Json], providers: Sequence[Json]) -> list[Json]:
    """The access logs of a gateway that these resources were applied to."""
    by_name = {item["name"]: item["envoyOtelAls"] for item in providers}
    return [
        _log(by_name[provider["name"]], logging["filter"]["expression"])
        for item in of_kind(manifests, "Telemetry")
        for logging in item["spec"]["accessLogging"]
        for provider in logging["providers"]
    ]


def text() -> Json:
    """The log that a mesh writes by default (``accessLogFile: /dev/stdout``), as far as a client has a say in it."""
    shown = (
        '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% '
        '%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" '
        '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" %REQUESTED_SERVER_NAME%\n'
    )
    return {
        "name": "envoy.access_loggers.stdout",
        "typed_config": {
            "@type": f"{TYPE}envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
            "log_format": {"text_format_source": {"inline_string": shown}},
        },
    }


def clusters(providers: Sequence[Json], connect: Mapping[str, tuple[str, int]]) -> Iterator[Json]:
    """The clusters of providers' Services; a port's name tells that it speaks HTTP/2."""
    for item in providers:
        name, (host, port) = _cluster(item["envoyOtelAls"]), connect[item["envoyOtelAls"]["service"]]
        address = {"socket_address": {"address": host, "port_value": port}}
        options = {"@type": TYPE + _OPTIONS, "explicit_http_config": {"http2_protocol_options": {}}}
        yield {
            "name": name,
            "type": "STATIC",
            "load_assignment": {
                "cluster_name": name,
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
            },
            "typed_extension_protocol_options": {_OPTIONS: options},
        }


def _cluster(provider: Json) -> str:
    return f"outbound|{provider['port']}||{provider['service']}"


def _log(provider: Json, expression: str) -> Json:
    service = {"envoy_grpc": {"cluster_name": _cluster(provider), "authority": provider["service"]}}
    labels = provider["logFormat"]["labels"]
    return {
        "name": "envoy.access_loggers.open_telemetry",
        "filter": {
            "extension_filter": {
                "name": _FILTER,
                "typed_config": {
                    "@type": f"{TYPE}envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
                    "expression": expression,
                },
            }
        },
        "typed_config": {
            "@type": f"{TYPE}envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig",
            "common_config": {
                "log_name": provider["logName"],
                "grpc_service": service,
                "transport_api_version": "V3",
                "filter_state_objects_to_log": ["wasm.upstream_peer", "wasm.downstream_peer"],
            },
            "disable_builtin_labels": True,
            "body": {"string_value": provider["logFormat"]["text"]},
            "attributes": {"values": [{"key": key, "value": {"string_value": labels[key]}} for key in sorted(labels)]},
        },
    }
