"""What Istio makes of the rendered resources, as Envoy configuration. Written from Istio's documentation and behaviour.

Covers what the resources use: ExternalName aliases, ServiceEntry, DestinationRule TLS, HTTPRoute, EnvoyFilter patches
of clusters, listeners and filters, and external authorization, which is an extension provider's (AuthorizationPolicy
CUSTOM) or whatever answers for Kuadrant (AuthPolicy).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.support import mesh_logs
from tests.support.mesh_routes import EXT_AUTHZ, TYPE, backends, of_kind, routes

Json = dict[str, Any]

HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


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
    providers: Sequence[Json] = ()
    """The mesh's extension providers for logs."""


def envoy_configuration(manifests: Sequence[Json], mesh: Mesh, admin_socket: Path) -> Json:
    """The bootstrap of a gateway that these resources were applied to."""
    clusters = [_patched(cluster, manifests) for cluster in _clusters(manifests, mesh)]
    clusters.append(_cluster("authorizer", mesh.authorizer.address))
    clusters += [_cluster(name, mesh.service) for name in sorted(_in_the_cluster(manifests))]
    clusters += [*_added(manifests, mesh), *mesh_logs.clusters(mesh.providers, mesh.connect)]
    manager = {
        "@type": f"{TYPE}envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "gateway",
        "use_remote_address": True,
        "normalize_path": True,
        "route_config": {
            "name": "http.80",
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": list(routes(manifests)), **_host(manifests)}],
        },
        "http_filters": [
            *_filters(manifests, "INSERT_FIRST"),
            {
                "name": EXT_AUTHZ,
                "typed_config": {
                    "@type": f"{TYPE}envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
                    "transport_api_version": "V3",
                    **mesh.authorizer.settings,
                },
            },
            *_filters(manifests, "INSERT_BEFORE"),
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{TYPE}envoy.extensions.filters.http.router.v3.Router"},
            },
        ],
    }
    manager["access_log"] = [mesh_logs.text(), *mesh_logs.telemetry(manifests, mesh.providers)]
    _merge(manager, _managers(manifests))
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
    clusters = backends(manifests)
    names = {
        clusters(backend, item["metadata"]["namespace"])
        for item in of_kind(manifests, "HTTPRoute")
        for rule in item["spec"]["rules"]
        for backend in rule.get("backendRefs", ())
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


def _filters(manifests: Sequence[Json], operation: str) -> list[Json]:
    """Filters that come before all others, of Istio's and of Kuadrant's, or (INSERT_BEFORE) right before the router."""
    found = []
    for patch in sorted(_patches(manifests, "HTTP_FILTER", operation), key=lambda one: one["priority"]):
        inner = patch["match"]["listener"]["filterChain"]["filter"].get("subFilter")
        assert inner == (None if operation == "INSERT_FIRST" else {"name": "envoy.filters.http.router"}), inner
        found.append(patch["patch"]["value"])
    return found


def _added(manifests: Sequence[Json], mesh: Mesh) -> Iterator[Json]:
    """Clusters of EnvoyFilters, whose names are found by DNS there and here are wherever the test says."""
    for patch in _patches(manifests, "CLUSTER", "ADD"):
        cluster = copy.deepcopy(patch["patch"]["value"])
        for place in cluster["load_assignment"]["endpoints"]:
            for end in place["lb_endpoints"]:
                named = end["endpoint"]["address"]["socket_address"]["address"]
                end["endpoint"]["address"] = _socket(mesh.connect[named])
        yield {**cluster, "type": "STATIC"}


def _managers(manifests: Sequence[Json]) -> Iterator[Json]:
    for patch in _patches(manifests, "NETWORK_FILTER", "MERGE"):
        yield patch["patch"]["value"]["typed_config"]


def _merge(manager: Json, patches: Iterator[Json]) -> None:
    """As protobuf merges: lists grow."""
    for patch in patches:
        assert patch["@type"] == manager["@type"]
        for key, value in patch.items():
            manager[key] = manager.get(key, []) + value if isinstance(value, list) else value


def _host(manifests: Sequence[Json]) -> Json:
    found: Json = {}
    for patch in _patches(manifests, "VIRTUAL_HOST", "MERGE"):
        found |= patch["patch"]["value"]
    return found


def _listener(manifests: Sequence[Json]) -> Json:
    return {
        key: value
        for patch in _patches(manifests, "LISTENER", "MERGE")
        for key, value in patch["patch"]["value"].items()
    }


def _patches(manifests: Sequence[Json], place: str, operation: str) -> Iterator[Json]:
    for item in of_kind(manifests, "EnvoyFilter"):
        for patch in item["spec"]["configPatches"]:
            known = {
                "CLUSTER": ["MERGE", "ADD"],
                "LISTENER": ["MERGE"],
                "NETWORK_FILTER": ["MERGE"],
                "VIRTUAL_HOST": ["MERGE"],
                "HTTP_FILTER": ["INSERT_FIRST", "INSERT_BEFORE"],
            }
            assert patch["patch"]["operation"] in known[patch["applyTo"]], "this stand-in knows no other"
            if (patch["applyTo"], patch["patch"]["operation"]) == (place, operation):
                yield {**patch, "priority": item["spec"].get("priority", 0)}


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
