"""One URL for every model: the gateway's root, in a number of resources that does not grow with models or providers.

The body's model decides where a call at the root goes. The policy asks maas-api, which answers with a route, and a
filter behind every policy then sends the call there as if the client had named that path itself: ``external/openai``
and ``/v1/responses`` is ``/external/openai/v1/responses``, whose own HTTPRoute does the rest. So a new model needs
nothing rendered: its own route is there by its controller, and the answer by the catalog.

A filter, because neither gateway chooses a route anew when a policy has set a header: Istio takes ``clearRouteCache``
of an ``envoyExtAuthzHttp`` and writes nothing (istio/istio#61558), and since Envoy 1.33 a WebAssembly filter, which is
Kuadrant's, clears nothing by itself (envoyproxy/envoy#36671). A Lua filter that changes a header always did, in each
Envoy of Istio 1.26 to 1.29 (1.34 to 1.37), and Lua is in all of their builds.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from maas_api.gateway.envoy.model_name import LUA
from maas_api.gateway.envoy.routes import ROUTE_HEADER
from maas_api.gateway.envoy.xds import extension
from maas_api.gateway.manifests.authpolicy import ANSWER, call_rules, exported_user, metered_headers
from maas_api.gateway.manifests.options import Options, Target
from maas_api.gateway.manifests.ratelimit import tokens_per_caller
from maas_api.gateway.manifests.resources import Manifest, on_gateway, parents, resource
from maas_api.providers import ENDPOINTS

PATHS = tuple(f"/v1/{endpoint}" for endpoint in ENDPOINTS)
NAME = "maas-one-url"

_LAST = 10
"""Priority of the EnvoyFilter: applied behind others, it stands nearest to the router, so behind their filters."""

_SOURCE = """
-- Behind every policy: a call at the root goes on at the path of the route that maas-api chose for its model.
local PATHS = %(paths)s
local WHERE = %(where)s

function envoy_on_request(handle)
  local headers = handle:headers()
  local route = headers:get("%(header)s")
  if not route then return end
  headers:remove("%(header)s")
  local path = headers:get(":path")
  if headers:get(":method") ~= "POST" or not PATHS[string.match(path, "^[^?]*")] then return end
  headers:replace(":path", (WHERE[route] or "/" .. route .. "/v1/") .. string.sub(path, 5))
end
"""


def one_url(options: Options, targets: Sequence[Target]) -> list[Manifest]:
    """The root's endpoints, who may pass there, and the filter. The route comes last, so that it is never open."""
    if options.auth == "istio":
        policies = [_authorization_policy(options)]
    else:
        policies = [_auth_policy(options), *_limits(options)]
    return [*policies, _rerouter(options, targets), _entry(options)]


def _entry(options: Options) -> Manifest:
    """Where a call stands until its route is known. It leads nowhere: what is not sent on is answered 500."""
    matches = [{"method": "POST", "path": {"type": "Exact", "value": path}} for path in PATHS]
    spec = {"parentRefs": parents(options), "rules": [{"matches": matches}]}
    return resource("gateway.networking.k8s.io/v1", "HTTPRoute", NAME, options, spec=spec)


def _rerouter(options: Options, targets: Sequence[Target]) -> Manifest:
    manager, router = "envoy.filters.network.http_connection_manager", "envoy.filters.http.router"
    code = extension(
        LUA,
        "envoy.extensions.filters.http.lua.v3.Lua",
        default_source_code={"inline_string": source(targets)},
    )
    chain = {"filter": {"name": manager, "subFilter": {"name": router}}}
    patch = {
        "applyTo": "HTTP_FILTER",
        "match": {"context": "GATEWAY", "listener": {"filterChain": chain}},
        "patch": {"operation": "INSERT_BEFORE", "value": {**code, "name": NAME}},
    }
    spec = {"targetRefs": on_gateway(options), "priority": _LAST, "configPatches": [patch]}
    found = resource("networking.istio.io/v1alpha3", "EnvoyFilter", f"{options.gateway}-one-url", options, spec=spec)
    found["metadata"]["namespace"] = options.gateway_namespace
    return found


def source(targets: Sequence[Target]) -> str:
    """The filter's code. Providers whose endpoints lie elsewhere than below ``v1/`` are a table in it."""
    odd = {target.provider for target in targets if target.provider.v1 != "v1/"}
    where = {f"external/{provider.name}": f"{provider.path_prefix}{provider.v1}" for provider in odd}
    return _SOURCE.lstrip() % {
        "paths": _table(dict.fromkeys(PATHS, "true")),
        "where": _table({route: json.dumps(path) for route, path in sorted(where.items())}),
        "header": ROUTE_HEADER,
    }


def _table(items: dict[str, str]) -> str:
    return "{ " + "".join(f"[{json.dumps(key)}] = {value}, " for key, value in items.items()) + "}"


def _authorization_policy(options: Options) -> Manifest:
    spec = {
        "targetRefs": on_gateway(options),
        "action": "CUSTOM",
        "provider": {"name": options.authorizer},
        "rules": [{"to": [{"operation": {"paths": list(PATHS)}}]}],
    }
    policy = resource("security.istio.io/v1", "AuthorizationPolicy", f"{NAME}-authz", options, spec=spec)
    policy["metadata"]["namespace"] = options.gateway_namespace
    return policy


def _auth_policy(options: Options) -> Manifest:
    """As on a provider's route, and the answer's route goes on to the filter.

    Policies on the routes behind do not see a call that arrives by the root: Kuadrant's filter chose what to ask
    before the route was known. A provider's are rendered here too; a model in the cluster has some of its own, so it
    is called at its own URL.
    """
    outside = f'has({ANSWER}.route) && {ANSWER}.route.startsWith("external/")'
    rules = call_rules(options, outside, "Not permitted at this URL: call a model in the cluster at its own")
    header = {"key": ROUTE_HEADER, "plain": {"selector": f"{ANSWER}.route"}}
    headers = {"route": header, **(metered_headers() if options.metering != "off" else {})}
    rules["response"]["success"] = {**exported_user(), "headers": headers}
    spec = {"targetRef": _on_entry(), "rules": rules}
    policy = resource("kuadrant.io/v1", "AuthPolicy", f"{NAME}-auth", options, spec=spec)
    policy["metadata"]["annotations"] = {"maas.opendatahub.io/answers-cached-for": f"{options.cache_seconds}s"}
    return policy


def _limits(options: Options) -> list[Manifest]:
    if not options.limits_at_root:
        return []
    spec = {"targetRef": _on_entry(), "limits": tokens_per_caller(options.limits_at_root)}
    return [resource("kuadrant.io/v1alpha1", "TokenRateLimitPolicy", f"{NAME}-trlp", options, spec=spec)]


def _on_entry() -> Manifest:
    return {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": NAME}
