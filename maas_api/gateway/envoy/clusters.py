"""Envoy clusters: where connections go, what is verified there, and what a request carries on its way out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from maas_api.gateway.envoy.plan import LocalRoute, Plan, ProviderRoute, Tls, Upstream, is_ip
from maas_api.gateway.envoy.secrecy import hide_provider_key
from maas_api.gateway.envoy.secrets import INTERNAL_SECRET, provider_secret, secret_source
from maas_api.gateway.envoy.xds import Json, extension, typed
from maas_api.providers import CREDENTIAL_HEADERS, Provider

MAAS_API = "maas-api"
AUTHORITY = "maas-api-authority"
"""The same service as ``maas-api``, asked by the gateway itself: only these requests carry the shared secret."""

RATE_LIMITS = "rate-limit-service"
"""Who counts rates of under an hour."""

CONNECT_TIMEOUT = "5s"
PROTOCOL_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
"""The name of a cluster's HTTP options, and of their message."""
INTERNAL_SECRET_HEADER = "x-maas-internal-secret"  # noqa: S105 - the header's name

# Prefixes of headers that concern the gateway and its platform; no model needs them, no provider may see them.
_PLATFORM_PREFIXES = ("x-maas-", "x-gateway-", "x-envoy-", "x-forwarded-")
# A caller's cookies belong to the platform's host name.
_PLATFORM_HEADERS = ("cookie", "forwarded", "x-real-ip")
# A packed answer could not be read on its way, and what it took would be unknown.
_ENCODING = "accept-encoding"
# Where clients put credentials besides, and what a browser adds: of no use to a model, whatever their form.
OTHER_CREDENTIALS = ("proxy-authorization", "x-goog-api-key", "sec-websocket-protocol", "referer")


def model_cluster(model: LocalRoute) -> str:
    """The cluster's name of a local model."""
    return f"model{model.path_prefix.rstrip('/')}"


def provider_cluster(route: ProviderRoute) -> str:
    """The cluster's name of a provider."""
    return f"external/{route.provider.name}"


def bearer_cluster(route: ProviderRoute) -> str:
    """The cluster's name of those of a provider's paths that want its key as ``Authorization: Bearer``."""
    return f"external/{route.provider.name}/bearer"


def cluster_resources(plan: Plan, folder: Path) -> list[Json]:
    """Every cluster of the plan. ``folder`` holds the secret files."""
    authority = [_inject(INTERNAL_SECRET_HEADER, "", INTERNAL_SECRET, folder)] if plan.internal_secret else []
    return [
        _cluster(MAAS_API, plan.maas_api, []),
        _cluster(AUTHORITY, plan.maas_api, authority),
        *(_cluster(model_cluster(model), model.upstream, [_clean()]) for model in plan.models),
        *(item for route in plan.providers for item in _provider(route, folder)),
        *([] if plan.rate_limit_service is None else [grpc_cluster(RATE_LIMITS, *plan.rate_limit_service)]),
    ]


def _provider(route: ProviderRoute, folder: Path) -> Iterator[Json]:
    yield _cluster(provider_cluster(route), route.upstream, provider_filters(route.provider, folder))
    if route.provider.bearer_paths:
        yield _cluster(bearer_cluster(route), route.upstream, provider_filters(bearer(route.provider), folder))


def bearer(provider: Provider) -> Provider:
    """The provider as it is on its ``bearer_paths``."""
    return dataclasses.replace(provider, credential_header="authorization", credential_prefix="Bearer ")


def provider_filters(provider: Provider, folder: Path) -> list[Json]:
    """The upstream filters of a provider's cluster: what the caller sent goes first, then the provider's key comes."""
    return [
        _clean("x-request-id", defaults=provider.default_headers),
        _inject(provider.credential_header, provider.credential_prefix, provider_secret(provider.name), folder),
        hide_provider_key(provider.credential_header),
    ]


def _clean(*more: str, defaults: tuple[tuple[str, str], ...] = ()) -> Json:
    """An upstream filter that drops what a model must not see and adds what the client left out.

    Upstream and not on the route: only here the headers that the router itself adds (x-envoy-original-path,
    x-envoy-expected-rq-timeout-ms) exist already.
    """
    names = (*CREDENTIAL_HEADERS, *OTHER_CREDENTIALS, *_PLATFORM_HEADERS, _ENCODING, *more)
    mutations: list[Json] = [
        *({"remove_on_match": {"key_matcher": {"prefix": prefix}}} for prefix in _PLATFORM_PREFIXES),
        *({"remove": name} for name in names),
        *(
            {"append": {"header": {"key": key, "value": value}, "append_action": "ADD_IF_ABSENT"}}
            for key, value in defaults
        ),
    ]
    return extension(
        "envoy.filters.http.header_mutation",
        "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
        mutations={"request_mutations": mutations},
    )


def _inject(header: str, prefix: str, secret: str, folder: Path) -> Json:
    """An upstream filter that sets ``header`` from a secret file; without the secret the request is refused."""
    credential = extension(
        "envoy.http.injected_credentials.generic",
        "envoy.extensions.http.injected_credentials.generic.v3.Generic",
        credential=secret_source(secret, folder),
        header=header,
        header_value_prefix=prefix,
    )
    return extension(
        "envoy.filters.http.credential_injector",
        "envoy.extensions.filters.http.credential_injector.v3.CredentialInjector",
        overwrite=True,
        allow_request_without_credential=False,
        credential=credential,
    )


def socket_address(host: str, port: int) -> Json:
    """A TCP address as Envoy writes it."""
    return {"socket_address": {"address": host, "port_value": port}}


def _cluster(name: str, upstream: Upstream, filters: list[Json]) -> Json:
    cluster: Json = {
        "name": name,
        "type": "STATIC" if upstream.is_address else "LOGICAL_DNS",
        "connect_timeout": CONNECT_TIMEOUT,
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket_address(upstream.host, upstream.port)}}]}],
        },
        # Streams of tokens are long: the default of 1,024 requests at once is soon a wall on one shared cluster. And
        # of three repeated at once, for what waits until the service is back.
        "circuit_breakers": {
            "thresholds": [
                {"max_connections": 4096, "max_pending_requests": 4096, "max_requests": 4096, "max_retries": 4096}
            ]
        },
        "typed_extension_protocol_options": {PROTOCOL_OPTIONS: _protocol(upstream, filters)},
    }
    if upstream.tls is not None:
        cluster["transport_socket"] = _tls(upstream.tls)
    return cluster


def _protocol(upstream: Upstream, filters: list[Json]) -> Json:
    # HTTP/2 where a server offers it in the handshake
    version = {"auto_config": {}} if upstream.tls is not None else HTTP1
    return protocol_options(version, filters)


HTTP1: Json = {"explicit_http_config": {"http_protocol_options": {}}}
"""Speak HTTP/1.1 upstream."""


def protocol_options(version: Json, filters: list[Json]) -> Json:
    """A cluster's HTTP options. ``version`` is how to choose between HTTP/1.1 and HTTP/2."""
    protocol = typed(
        PROTOCOL_OPTIONS,
        # Below the 120 s that servers of this kind keep an idle connection, so that no request meets a closing one.
        common_http_protocol_options={"idle_timeout": "90s"},
        **version,
    )
    if filters:
        codec = extension(
            "envoy.filters.http.upstream_codec", "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec"
        )
        protocol["http_filters"] = [*filters, codec]
    return protocol


def grpc_cluster(name: str, host: str, port: int) -> Json:
    """A cluster of a service that is asked by gRPC, without TLS."""
    endpoint = {"endpoint": {"address": socket_address(host, port)}}
    return {
        "name": name,
        "type": "STATIC" if is_ip(host) else "STRICT_DNS",
        "connect_timeout": CONNECT_TIMEOUT,
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {
            PROTOCOL_OPTIONS: typed(PROTOCOL_OPTIONS, explicit_http_config={"http2_protocol_options": {}})
        },
    }


def _tls(tls: Tls) -> Json:
    kind = "IP_ADDRESS" if is_ip(tls.sni) else "DNS"
    return extension(
        "envoy.transport_sockets.tls",
        "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        sni=tls.sni if kind == "DNS" else "",  # RFC 6066: an address is not a server name
        common_tls_context={
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
            "validation_context": {
                "trusted_ca": {"filename": str(tls.ca_file)},
                # Without it any certificate of that CA would do.
                "match_typed_subject_alt_names": [{"san_type": kind, "matcher": {"exact": tls.sni}}],
            },
        },
    )
