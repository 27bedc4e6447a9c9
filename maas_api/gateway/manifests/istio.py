"""What Istio does beyond routing: put in the provider's key, and ask maas-api where there is no Kuadrant."""

from __future__ import annotations

from pathlib import Path

import yaml

from maas_api.gateway.envoy import model_name, secrets
from maas_api.gateway.envoy.clusters import HTTP1, PROTOCOL_OPTIONS, bearer, protocol_options, provider_filters
from maas_api.gateway.envoy.listener import ANSWER_HEADERS, AUTHORIZER_PATH, QUESTION_HEADERS, REFUSAL_HEADERS
from maas_api.gateway.envoy.plan import MAX_BODY_BYTES
from maas_api.gateway.envoy.xds import extension
from maas_api.gateway.manifests.options import KEYS_FOLDER, KEYS_SECRET, Options, Target
from maas_api.gateway.manifests.resources import Manifest, bearer_port, on_gateway, resource
from maas_api.gateway.manifests.usage import beside, usage_provider
from maas_api.gateway.quota import LEFT_HEADERS, SAID


def body_reader(options: Options) -> Manifest:
    """The filter that tells policies which model a request's body names: first of all, so that each of them sees it.

    One for a gateway, and the same as the local gateway's. Bodies are held until they are read, up to the bound.
    """
    everywhere = {"context": "GATEWAY"}
    manager = "envoy.filters.network.http_connection_manager"
    patches = [
        {
            "applyTo": "HTTP_FILTER",
            "match": {**everywhere, "listener": {"filterChain": {"filter": {"name": manager}}}},
            "patch": {
                "operation": "INSERT_FIRST",
                "value": model_name.body_reader(include_usage=options.include_usage),
            },
        },
        {
            "applyTo": "LISTENER",
            "match": everywhere,
            "patch": {
                "operation": "MERGE",
                "value": {"per_connection_buffer_limit_bytes": MAX_BODY_BYTES},
            },
        },
    ]
    spec = {"targetRefs": on_gateway(options), "configPatches": patches}
    name = f"{options.gateway}-model-name"
    return _in_gateway_namespace(
        options, resource("networking.istio.io/v1alpha3", "EnvoyFilter", name, options, spec=spec)
    )


_BEHIND = 9
"""Priority of an EnvoyFilter that is applied behind those of policies, and before that of the one URL."""


def key_keeper(options: Options) -> Manifest:
    """The filter that lets no API key go on to a model in the cluster, whose own policy may take it away or not.

    Behind every policy. A provider's connections drop credentials themselves; maas-api is shown them.
    """
    manager, router = "envoy.filters.network.http_connection_manager", "envoy.filters.http.router"
    code = extension(
        model_name.LUA,
        "envoy.extensions.filters.http.lua.v3.Lua",
        default_source_code={"inline_string": model_name.keeper()},
    )
    chain = {"filter": {"name": manager, "subFilter": {"name": router}}}
    name = f"{options.gateway}-keys"
    patch = {
        "applyTo": "HTTP_FILTER",
        "match": {"context": "GATEWAY", "listener": {"filterChain": chain}},
        "patch": {"operation": "INSERT_BEFORE", "value": {**code, "name": "maas-keys"}},
    }
    spec = {"targetRefs": on_gateway(options), "priority": _BEHIND, "configPatches": [patch]}
    return _in_gateway_namespace(
        options, resource("networking.istio.io/v1alpha3", "EnvoyFilter", name, options, spec=spec)
    )


def provider_key(options: Options, target: Target) -> Manifest:
    """Upstream filters on the provider's cluster: the caller's headers out, the provider's key in, from a file.

    They are those of the local gateway. The patch replaces the cluster's HTTP options as a whole (Istio merges no
    deeper), so it names the protocol too. Envoy's filter ``credential_injector`` must be in the proxy's build.

    The key belongs to the connection: whoever may attach a route to this gateway can reach the provider with it, by a
    route of their own. Restrict who may (the Gateway's ``allowedRoutes``), or protect the Gateway as a whole.
    """
    keyed = [(target.provider, target.provider.port)]
    if options.bearer_paths(target):
        keyed.append((bearer(target.provider), bearer_port(target)))
    patches = [
        {
            "applyTo": "CLUSTER",
            "match": {"context": "GATEWAY", "cluster": {"service": target.host, "portNumber": port}},
            "patch": {
                "operation": "MERGE",
                "value": {
                    "typed_extension_protocol_options": {
                        PROTOCOL_OPTIONS: protocol_options(HTTP1, provider_filters(provider, Path(KEYS_FOLDER)))
                    }
                },
            },
        }
        for provider, port in keyed
    ]
    spec = {"targetRefs": on_gateway(options), "configPatches": patches}
    return _in_gateway_namespace(
        options,
        resource(
            "networking.istio.io/v1alpha3", "EnvoyFilter", f"{target.provider.name}-key", options, target, spec=spec
        ),
    )


def gateway_parameters(options: Options) -> Manifest:
    """What the gateway's pods need to read provider keys: the Secret, mounted.

    Istio applies it to the Deployment that it keeps for the Gateway, once the Gateway refers to it in
    ``spec.infrastructure.parametersRef``. A Secret that is not there yet holds nothing up; a provider without its
    key is then not reachable. Its file appears in a running pod as soon as the Secret has it.
    """
    volume = {"name": "maas-provider-keys", "secret": {"secretName": KEYS_SECRET, "optional": True}}
    mount = {"name": "maas-provider-keys", "mountPath": f"{KEYS_FOLDER}/{secrets.FOLDER}", "readOnly": True}
    pod = {"containers": [{"name": "istio-proxy", "volumeMounts": [mount]}], "volumes": [volume]}
    deployment = yaml.safe_dump({"spec": {"template": {"spec": pod}}}, sort_keys=False)
    name = f"{options.gateway}-provider-keys"
    return _in_gateway_namespace(options, resource("v1", "ConfigMap", name, options, data={"deployment": deployment}))


def mesh_values(service: str, port: int, authorizer: str, *, metering: str = "off") -> Manifest:
    """Values for the mesh's configuration: the extension provider that asks maas-api, and the paths it relies on.

    The same question as the local gateway's. ``service`` is maas-api's full name in the cluster. Where calls are
    metered, the answer says what they are counted under; with ``telemetry`` the log goes to the collector beside it.
    """
    counted = list(SAID.values()) if metering != "off" else []
    check = {
        "service": service,
        "port": port,
        "pathPrefix": AUTHORIZER_PATH,
        "timeout": "1s",
        "failOpen": False,
        "statusOnError": "503",
        "includeRequestHeadersInCheck": list(QUESTION_HEADERS),
        "headersToUpstreamOnAllow": [*ANSWER_HEADERS, *counted],
        "headersToDownstreamOnAllow": list(LEFT_HEADERS),
        "headersToDownstreamOnDeny": list(REFUSAL_HEADERS),
    }
    return {
        "meshConfig": {
            # What the route matches and what a policy judges must be one path.
            "pathNormalization": {"normalization": "DECODE_AND_MERGE_SLASHES"},
            "extensionProviders": [
                {"name": authorizer, "envoyExtAuthzHttp": check},
                *([usage_provider(beside(service))] if metering == "telemetry" else []),
            ],
        }
    }


def authorization_policy(options: Options, target: Target) -> Manifest:
    """Every request on the provider's path is asked about. The bare prefix too: a route's PathPrefix matches it."""
    prefix = target.provider.path_prefix
    spec = {
        "targetRefs": on_gateway(options),
        "action": "CUSTOM",
        "provider": {"name": options.authorizer},
        "rules": [{"to": [{"operation": {"paths": [prefix.rstrip("/"), f"{prefix}*"]}}]}],
    }
    name = f"{target.provider.name}-bridge-authz"
    policy = resource("security.istio.io/v1", "AuthorizationPolicy", name, options, target, spec=spec)
    return _in_gateway_namespace(options, policy)


def _in_gateway_namespace(options: Options, manifest: Manifest) -> Manifest:
    """A resource that targets a gateway must live beside it."""
    manifest["metadata"]["namespace"] = options.gateway_namespace
    return manifest
