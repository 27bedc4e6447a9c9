"""What Istio makes of HTTPRoutes, as Envoy routes; the other half of :mod:`tests.support.mesh`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

Json = dict[str, Any]

TYPE = "type.googleapis.com/"
EXT_AUTHZ = "envoy.filters.http.ext_authz"


def of_kind(manifests: Sequence[Json], kind: str) -> list[Json]:
    """The manifests of a kind."""
    return [item for item in manifests if item["kind"] == kind]


def routes(manifests: Sequence[Json]) -> Iterator[Json]:
    """Every match as a route, the more specific first (Gateway API, HTTPRouteRule): an exact path, then the longer
    prefix, then one with a method, then more headers; then the order of the rules."""
    clusters = backends(manifests)
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


def backends(manifests: Sequence[Json]) -> Callable[[Json, str], str]:
    """(backendRef, the route's namespace) -> its cluster: an ExternalName's is that of the host behind it."""
    services = [item for item in of_kind(manifests, "Service") if "externalName" in item["spec"]]
    aliases = {item["metadata"]["name"]: item["spec"]["externalName"] for item in services}

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
    route: Json = {"match": _matched(match)}
    action: Json = {"timeout": rule.get("timeouts", {"request": "15s"})["request"]}
    if "backendRefs" in rule:
        (backend,) = rule["backendRefs"]
        route["route"] = {**action, "cluster": clusters(backend, item["metadata"]["namespace"])}
        action = route["route"]
    else:  # HTTPRouteRule.backendRefs: nothing to send it to is a 500
        route["direct_response"] = {"status": 500}
    for one in rule.get("filters", ()):
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
