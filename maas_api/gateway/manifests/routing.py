"""The way to a provider: Service, ServiceEntry, DestinationRule, HTTPRoute. Names and shapes follow the seed's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from maas_api.access.named import HEADERS
from maas_api.gateway.envoy.routes import PROVIDER_HEADER
from maas_api.gateway.manifests.options import OptionError, Options, Target
from maas_api.gateway.manifests.resources import (
    Manifest,
    bearer_port,
    listing_name,
    parents,
    resource,
    route_name,
    service_name,
)
from maas_api.providers import CREDENTIAL_HEADERS

MAX_RULES = 16
"""Of one HTTPRoute (Gateway API, HTTPRouteSpec)."""

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
    ports = [{"name": name, "port": number, "protocol": "TCP"} for name, number in _ports(options, target)]
    spec = {"type": "ExternalName", "externalName": target.host, "ports": ports}
    return resource("v1", "Service", service_name(target), options, target, spec=spec)


def service_entry(options: Options, target: Target) -> Manifest:
    """The provider's host as a part of the mesh."""
    protocol, port = _protocol(target), target.provider.port
    ports: list[Manifest] = []
    for name, number in _ports(options, target):
        ports.append({"name": name, "number": number, "protocol": protocol.upper()})
        if number != port:
            ports[-1]["targetPort"] = port
    spec = {"hosts": [target.host], "location": "MESH_EXTERNAL", "resolution": "DNS", "ports": ports}
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
    """The provider's paths that run a model, each by itself, to its own Host, without the caller's credential.

    A header that the provider insists on is set where the client left it out. Gateway API has no such filter, so a
    rule for requests that bear the header comes with each. Raises OptionError for more rules than a route may have.
    """
    provider = target.provider
    ways = list(_ways(options, target))
    rules = []
    defaults = provider.default_headers
    bearing = [{"type": "RegularExpression", "name": name, "value": ".+"} for name, _ in defaults]
    for way in ways:
        if defaults:
            rules.append(_rule(options, target, way, {"headers": bearing}, set_headers=()))
        rules.append(_rule(options, target, way, {}, set_headers=defaults))
    if len(rules) > MAX_RULES:
        raise OptionError(f"open-path: {provider.name} has {len(rules)} rules, and a route holds {MAX_RULES}")
    spec = {"parentRefs": parents(options), "rules": rules}
    return resource("gateway.networking.k8s.io/v1", "HTTPRoute", route_name(target), options, target, spec=spec)


def listing_route(options: Options, target: Target) -> Manifest:
    """The provider's list of models, as its SDK asks for it: answered by maas-api, for the models of the caller.

    It lives beside maas-api, so that nobody needs a grant to refer to its Service.
    """
    provider, api = target.provider, options.api
    path = {"type": "PathPrefix", "value": f"{provider.path_prefix}{provider.v1}models"}
    rewrite = {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/v1/models"}
    chosen = {"set": [{"name": PROVIDER_HEADER, "value": provider.name}]}
    filters = [
        {"type": "URLRewrite", "urlRewrite": {"path": rewrite}},
        {"type": "RequestHeaderModifier", "requestHeaderModifier": chosen},
    ]
    to = [{"group": "", "kind": "Service", "name": api.name, "port": api.port, "weight": 1}]
    rules = [  # a prefix is replaced in a rule of one match only
        {"matches": [{"method": method, "path": path}], "filters": filters, "backendRefs": to}
        for method in ("GET", "HEAD")
    ]
    spec = {"parentRefs": parents(options), "rules": rules}
    name = listing_name(target)
    route = resource("gateway.networking.k8s.io/v1", "HTTPRoute", name, options, target, spec=spec)
    route["metadata"]["namespace"] = api.namespace
    return route


class _Way(NamedTuple):
    """One method and path of the provider (relative to the route), and all below it where ``below``."""

    method: str
    path: str
    below: bool = False
    bearer: bool = False
    """Whether the provider wants its key as ``Authorization: Bearer`` there."""


def _ways(options: Options, target: Target) -> Iterator[_Way]:
    """What runs a model, and what the operator opens. A path with the model in it is routed by what stands before: no
    filter rewrites a pattern, and the authorizer judges every path that arrives."""
    found: dict[_Way, None] = {}
    for path in target.provider.model_paths:
        before, placeholder, _ = path.partition("/{model}")
        found[_Way("POST", before, bool(placeholder))] = None
    for path in options.bearer_paths(target):
        found[_Way("POST", path, bearer=True)] = None
    for opened in options.open_paths:
        if opened.provider == target.provider.name:
            below = opened.path.endswith("*")
            found[_Way(opened.method, opened.path.strip("/").removesuffix("*").rstrip("/"), below)] = None
    return iter(found)


def _rule(
    options: Options, target: Target, way: _Way, match: Manifest, *, set_headers: tuple[tuple[str, str], ...]
) -> Manifest:
    provider = target.provider
    removed = [name for name in _NOT_FOR_PROVIDERS if not _set_by_the_policy(options, target, name)]
    headers: Manifest = {"remove": removed}
    if set_headers:
        headers["set"] = [{"name": name, "value": value} for name, value in set_headers]
    path = {"type": "PathPrefix" if way.below else "Exact", "value": f"{provider.path_prefix}{way.path}".rstrip("/")}
    to = f"{provider.base_path}{way.path}".rstrip("/") or "/"
    rewrite = {"type": "ReplaceFullPath", "replaceFullPath": to}
    if way.below:
        rewrite = {"type": "ReplacePrefixMatch", "replacePrefixMatch": to}
    port = bearer_port(target) if way.bearer else provider.port
    return {
        "matches": [{"method": way.method, "path": path, **match}],
        "filters": [
            {"type": "URLRewrite", "urlRewrite": {"hostname": target.host, "path": rewrite}},
            {"type": "RequestHeaderModifier", "requestHeaderModifier": headers},
            {
                "type": "ResponseHeaderModifier",
                "responseHeaderModifier": {"remove": list(provider.private_response_headers)},
            },
        ],
        "backendRefs": [{"group": "", "kind": "Service", "name": service_name(target), "port": port, "weight": 1}],
        "timeouts": {"request": options.request_timeout},
    }


def _set_by_the_policy(options: Options, target: Target, header: str) -> bool:
    """Whether the AuthPolicy has put the provider's key into this header; a route's removal comes after it."""
    return options.provider_keys == "literal" and header == target.provider.credential_header


def _protocol(target: Target) -> str:
    return "https" if target.tls else "http"


def _ports(options: Options, target: Target) -> list[tuple[str, int]]:
    """Names (by which Istio knows the protocol) and numbers."""
    found = [(_protocol(target), target.provider.port)]
    if options.bearer_paths(target):
        found.append((f"{_protocol(target)}-bearer", bearer_port(target)))
    return found
