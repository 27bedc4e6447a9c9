"""What Istio makes of the rendered resources, as Envoy configuration. Written from Istio's documentation and behaviour.

Covers what the resources use: ExternalName aliases, ServiceEntry, DestinationRule TLS, HTTPRoute, EnvoyFilter patches
of clusters, listeners and filters, and external authorization, which is an extension provider's (AuthorizationPolicy
CUSTOM) or whatever answers for Kuadrant (AuthPolicy).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

Json = dict[str, Any]

TYPE = "type.googleapis.com/"
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
EXT_AUTHZ = "envoy.filters.http.ext_authz"


class Authorizer(NamedTuple):
    """Who is asked: the ``http_service`` and other fields of Envoy's ext_authz, and where that service listens."""

    settings: Json
    address: tuple[str, int]


class Mesh(NamedTuple):
    """What is outside of the resources: where hosts really answer, and files in the gateway's pods."""

    connect: Mapping[str, tuple[str, int]]
    authorizer: Authorizer
    file: Callable[[str], str]
    """A path in a pod, or ``system`` for the public CAs, as a path here."""
    service: tuple[str, int]
    """Where maas-api listens."""


def envoy_configuration(manifests: Sequence[Json], mesh: Mesh, admin_socket: Path) -> Json:
    """The bootstrap of a gateway that these resources were applied to."""
    clusters = [_patched(cluster, manifests) for cluster in _clusters(manifests, mesh)]
    clusters.append(_cluster("authorizer", mesh.authorizer.address))
    clusters += [_cluster(name, mesh.service) for name in sorted(_in_the_cluster(manifests))]
    manager = {
        "@type": f"{TYPE}envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "gateway",
        "use_remote_address": True,
        "normalize_path": True,
        "route_config": {
            "name": "http.80",
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": list(_routes(manifests))}],
        },
        "http_filters": [
            *_first_filters(manifests),
            {
                "name": EXT_AUTHZ,
                "typed_config": {
                    "@type": f"{TYPE}envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
                    "transport_api_version": "V3",
                    **mesh.authorizer.settings,
                },
            },
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{TYPE}envoy.extensions.filters.http.router.v3.Router"},
            },
        ],
    }
    return {
        "node": {"id": "gateway", "cluster": "gateway"},
        "admin": {"address": {"pipe": {"path": str(admin_socket)}}},
        "static_resources": {
            "listeners": [
                {
                    "name": "gateway",
                    "address": _socket(("127.0.0.1", 0)),
                    **_listener(manifests),
                    "filter_chains": [
                        {
                            "filters": [
                                {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
                            ]
                        }
                    ],
                }
            ],
            "clusters": _with_files(clusters, mesh.file),
        },
    }


def of_kind(manifests: Sequence[Json], kind: str) -> list[Json]:
    """The manifests of a kind."""
    return [item for item in manifests if item["kind"] == kind]


def _clusters(manifests: Sequence[Json], mesh: Mesh) -> Iterator[Json]:
    rules = {
        item["spec"]["host"]: item["spec"]["trafficPolicy"]["tls"] for item in of_kind(manifests, "DestinationRule")
    }
    for entry in of_kind(manifests, "ServiceEntry"):
        for host in entry["spec"]["hosts"]:
            for port in entry["spec"]["ports"]:
                cluster = _cluster(f"outbound|{port['number']}||{host}", mesh.connect[host])
                tls = rules.get(host, {"mode": "DISABLE"})
                if tls["mode"] == "SIMPLE":
                    cluster["transport_socket"] = _tls(tls)
                yield cluster


def _in_the_cluster(manifests: Sequence[Json]) -> set[str]:
    """The clusters of Services that are not among the resources: maas-api's."""
    clusters = _backends(manifests)
    names = {
        clusters(backend, item["metadata"]["namespace"])
        for item in of_kind(manifests, "HTTPRoute")
        for rule in item["spec"]["rules"]
        for backend in rule["backendRefs"]
    }
    return {name for name in names if name.endswith(".svc.cluster.local")}


def _cluster(name: str, address: tuple[str, int]) -> Json:
    """As Istio makes one: HTTP/1.1 unless a port's name says otherwise."""
    options = {"@type": TYPE + HTTP_OPTIONS, "explicit_http_config": {"http_protocol_options": {}}}
    endpoint = {"endpoint": {"address": _socket(address)}}
    return {
        "name": name,
        "type": "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {HTTP_OPTIONS: options},
    }


def _socket(address: tuple[str, int]) -> Json:
    return {"socket_address": {"address": address[0], "port_value": address[1]}}


def _tls(tls: Json) -> Json:
    names = [{"san_type": "DNS", "matcher": {"exact": name}} for name in tls.get("subjectAltNames", ())]
    validation = {"trusted_ca": {"filename": tls["caCertificates"]}, "match_typed_subject_alt_names": names}
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{TYPE}envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": tls["sni"],
            "common_tls_context": {"validation_context": validation},
        },
    }


def _patched(cluster: Json, manifests: Sequence[Json]) -> Json:
    """EnvoyFilter patches. An ``Any`` in a map is not merged: the patch's takes its place."""
    _, port, _, host = cluster["name"].split("|")
    found = copy.deepcopy(cluster)
    for patch in _patches(manifests, "CLUSTER", "MERGE"):
        where = patch["match"]["cluster"]
        if (where["service"], str(where["portNumber"])) == (host, port):
            for key, value in patch["patch"]["value"].items():
                found[key] = {**found[key], **value}
    return found


def _first_filters(manifests: Sequence[Json]) -> list[Json]:
    """Filters that come before all others, of Istio's and of Kuadrant's."""
    return [patch["patch"]["value"] for patch in _patches(manifests, "HTTP_FILTER", "INSERT_FIRST")]


def _listener(manifests: Sequence[Json]) -> Json:
    return {
        key: value
        for patch in _patches(manifests, "LISTENER", "MERGE")
        for key, value in patch["patch"]["value"].items()
    }


def _patches(manifests: Sequence[Json], place: str, operation: str) -> Iterator[Json]:
    for item in of_kind(manifests, "EnvoyFilter"):
        for patch in item["spec"]["configPatches"]:
            if patch["applyTo"] == place:
                assert patch["patch"]["operation"] == operation, "this stand-in knows no other"
                yield patch


def _routes(manifests: Sequence[Json]) -> Iterator[Json]:
    """Every match as a route, the more specific first (Gateway API, HTTPRouteRule): an exact path, then the longer
    prefix, then one with a method, then more headers; then the order of the rules."""
    clusters = _backends(manifests)
    found = [
        (item, rule, match)
        for item in of_kind(manifests, "HTTPRoute")
        for rule in item["spec"]["rules"]
        for match in rule["matches"]
    ]
    for item, rule, match in sorted(found, key=lambda one: _rank(one[2])):
        yield _route(item, rule, match, clusters, asked=_is_asked(item, match, manifests))


def _rank(match: Json) -> tuple[bool, int, bool, int]:
    path = match["path"]
    return (
        path["type"] != "Exact",
        -len(path["value"]),
        "method" not in match,
        -len(match.get("headers", ())),
    )


def _backends(manifests: Sequence[Json]) -> Callable[[Json, str], str]:
    """(backendRef, the route's namespace) -> its cluster: an ExternalName's is that of the host behind it."""
    aliases = {item["metadata"]["name"]: item["spec"]["externalName"] for item in of_kind(manifests, "Service")}

    def cluster(backend: Json, namespace: str) -> str:
        host = aliases.get(backend["name"]) or f"{backend['name']}.{namespace}.svc.cluster.local"
        return f"outbound|{backend['port']}||{host}"

    return cluster


def _matched(match: Json) -> Json:
    path = match["path"]
    found: Json = {"path" if path["type"] == "Exact" else "path_separated_prefix": path["value"]}
    headers = [
        {
            "name": header["name"],
            "string_match": {"exact": header["value"]}
            if header.get("type", "Exact") == "Exact"
            else {"safe_regex": {"regex": header["value"]}},
        }
        for header in match.get("headers", ())
    ]
    if "method" in match:
        headers.append({"name": ":method", "string_match": {"exact": match["method"]}})
    return {**found, "headers": headers}


def _route(item: Json, rule: Json, match: Json, clusters: Callable[[Json, str], str], *, asked: bool) -> Json:
    (backend,) = rule["backendRefs"]
    action: Json = {
        "cluster": clusters(backend, item["metadata"]["namespace"]),
        "timeout": rule.get("timeouts", {"request": "15s"})["request"],
    }
    route: Json = {"match": _matched(match), "route": action}
    for one in rule["filters"]:
        if one["type"] == "URLRewrite":
            if "hostname" in one["urlRewrite"]:
                action["host_rewrite_literal"] = one["urlRewrite"]["hostname"]
            action["regex_rewrite"] = _rewrite(match["path"]["value"], one["urlRewrite"]["path"])
        elif one["type"] == "RequestHeaderModifier":
            modifier = one["requestHeaderModifier"]
            route["request_headers_to_remove"] = modifier.get("remove", [])
            route["request_headers_to_add"] = [
                {
                    "header": {"key": header["name"], "value": header["value"]},
                    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                }
                for header in modifier.get("set", ())
            ]
        else:
            route["response_headers_to_remove"] = one["responseHeaderModifier"]["remove"]
    if not asked:
        disabled = {"@type": f"{TYPE}envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute", "disabled": True}
        route["typed_per_filter_config"] = {EXT_AUTHZ: disabled}
    return route


def _rewrite(matched: str, path: Json) -> Json:
    if path["type"] == "ReplaceFullPath":
        return {"pattern": {"regex": "/.*"}, "substitution": path["replaceFullPath"]}
    replacement = path["replacePrefixMatch"].rstrip("/")
    # What follows the prefix stays, its slash included.
    return {"pattern": {"regex": f"^{re.escape(matched)}(/?)"}, "substitution": f"{replacement}\\1"}


def _is_asked(route: Json, match: Json, manifests: Sequence[Json]) -> bool:
    """Whether a policy covers everything that this match lets through."""
    for item in of_kind(manifests, "AuthPolicy"):
        same = item["metadata"]["namespace"] == route["metadata"]["namespace"]
        if same and item["spec"]["targetRef"]["name"] == route["metadata"]["name"]:
            return True
    for item in of_kind(manifests, "AuthorizationPolicy"):
        paths = [path for rule in item["spec"]["rules"] for to in rule["to"] for path in to["operation"]["paths"]]
        if item["spec"]["action"] == "CUSTOM" and all(any(map(_fits(one), paths)) for one in _let_through(match)):
            return True
    return False


def _let_through(match: Json) -> list[str]:
    """Paths that stand for all that a match lets through."""
    path = match["path"]
    return [path["value"]] if path["type"] == "Exact" else [path["value"], f"{path['value']}/below"]


def _fits(path: str) -> Callable[[str], bool]:
    """Whether a policy's pattern, which may end in a star, fits a path."""
    return lambda pattern: path.startswith(pattern[:-1]) if pattern.endswith("*") else path == pattern


def _with_files(value: Any, file: Callable[[str], str]) -> Any:
    """Every path in a pod as one here."""
    if isinstance(value, dict):
        return {
            key: file(item) if key in ("filename", "path") and isinstance(item, str) else _with_files(item, file)
            for key, item in value.items()
        }
    return [_with_files(item, file) for item in value] if isinstance(value, list) else value


def from_extension_provider(provider: Json, address: tuple[str, int]) -> Authorizer:
    """The ext_authz that Istio configures for an ``envoyExtAuthzHttp`` extension provider."""

    def exactly(names: Sequence[str]) -> Json:
        return {"patterns": [{"exact": name} for name in names]}

    settings = {
        "failure_mode_allow": provider["failOpen"],
        "status_on_error": {"code": int(provider["statusOnError"])},
        "allowed_headers": exactly(provider["includeRequestHeadersInCheck"]),
        "http_service": {
            "server_uri": {
                "uri": f"http://{provider['service']}",
                "cluster": "authorizer",
                "timeout": provider["timeout"],
            },
            "path_prefix": provider["pathPrefix"],
            "authorization_response": {
                "allowed_upstream_headers": exactly(provider["headersToUpstreamOnAllow"]),
                "allowed_client_headers": exactly(provider["headersToDownstreamOnDeny"]),
            },
        },
    }
    return Authorizer(settings, address)
