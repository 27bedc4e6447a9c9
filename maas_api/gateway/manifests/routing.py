"""The way to a provider: Service, ServiceEntry, DestinationRule, HTTPRoute. Names and shapes follow the seed's."""

from __future__ import annotations

from maas_api.access.named import HEADERS
from maas_api.gateway.manifests.options import Options, Target
from maas_api.gateway.manifests.resources import Manifest, resource, route_name, service_name
from maas_api.providers import CREDENTIAL_HEADERS

# The caller's credential and what the platform says about the caller; removed on the route, behind every policy. What
# Envoy's router itself adds after that (x-envoy-*) only the upstream filters reach, so not where a key is literal.
_NOT_FOR_PROVIDERS = (
    *CREDENTIAL_HEADERS,
    "x-maas-username",
    "x-maas-group",
    "x-maas-subscription",
    "x-maas-models",
    *(name.lower() for name in HEADERS),
    "cookie",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
)


def external_service(options: Options, target: Target) -> Manifest:
    """A name in the cluster for the provider, so that a route can point at it."""
    ports = [{"name": _port_name(target), "port": target.provider.port, "protocol": "TCP"}]
    spec = {"type": "ExternalName", "externalName": target.host, "ports": ports}
    return resource("v1", "Service", service_name(target), options, target, spec=spec)


def service_entry(options: Options, target: Target) -> Manifest:
    """The provider's host as a part of the mesh."""
    name = _port_name(target)
    spec = {
        "hosts": [target.host],
        "location": "MESH_EXTERNAL",
        "resolution": "DNS",
        "ports": [{"name": name, "number": target.provider.port, "protocol": name.upper()}],
    }
    return resource("networking.istio.io/v1", "ServiceEntry", f"{target.provider.name}-api", options, target, spec=spec)


def destination_rule(options: Options, target: Target) -> Manifest:
    """TLS from the gateway on. Authority and name are verified: without ``subjectAltNames`` any certificate that
    the authority ever signed would do."""
    tls: Manifest = {"mode": "DISABLE"}
    if target.tls:
        tls = {
            "mode": "SIMPLE",
            "sni": target.host,
            "caCertificates": target.ca,
            "subjectAltNames": [target.host],
        }
    spec = {"host": target.host, "trafficPolicy": {"tls": tls}}
    name = f"{target.provider.name}-tls"
    return resource("networking.istio.io/v1", "DestinationRule", name, options, target, spec=spec)


def http_route(options: Options, target: Target) -> Manifest:
    """``/external/<provider>/`` to the provider's own paths and Host, without the caller's credential.

    A header that the provider insists on is set where the client left it out. Gateway API has no such filter, so a
    rule for requests that bear the header comes first.
    """
    defaults = target.provider.default_headers
    rules = []
    if defaults:
        bearing = [{"type": "RegularExpression", "name": name, "value": ".+"} for name, _ in defaults]
        rules.append(_rule(options, target, {"headers": bearing}, set_headers=()))
    rules.append(_rule(options, target, {}, set_headers=defaults))
    spec = {
        "parentRefs": [
            {
                "group": "gateway.networking.k8s.io",
                "kind": "Gateway",
                "name": options.gateway,
                "namespace": options.gateway_namespace,
            }
        ],
        "rules": rules,
    }
    return resource("gateway.networking.k8s.io/v1", "HTTPRoute", route_name(target), options, target, spec=spec)


def _rule(options: Options, target: Target, match: Manifest, *, set_headers: tuple[tuple[str, str], ...]) -> Manifest:
    provider = target.provider
    prefix = provider.path_prefix.rstrip("/")
    removed = [name for name in _NOT_FOR_PROVIDERS if not _set_by_the_policy(options, target, name)]
    headers: Manifest = {"remove": removed}
    if set_headers:
        headers["set"] = [{"name": name, "value": value} for name, value in set_headers]
    return {
        "matches": [{"path": {"type": "PathPrefix", "value": prefix}, **match}],
        "filters": [
            {
                "type": "URLRewrite",
                "urlRewrite": {
                    "hostname": target.host,
                    "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": provider.base_path.rstrip("/") or "/"},
                },
            },
            {"type": "RequestHeaderModifier", "requestHeaderModifier": headers},
            {
                "type": "ResponseHeaderModifier",
                "responseHeaderModifier": {"remove": list(provider.private_response_headers)},
            },
        ],
        "backendRefs": [
            {"group": "", "kind": "Service", "name": service_name(target), "port": provider.port, "weight": 1}
        ],
        "timeouts": {"request": options.request_timeout},
    }


def _set_by_the_policy(options: Options, target: Target, header: str) -> bool:
    """Whether the AuthPolicy has put the provider's key into this header; a route's removal comes after it."""
    return options.provider_keys == "literal" and header == target.provider.credential_header


def _port_name(target: Target) -> str:
    return "https" if target.tls else "http"
