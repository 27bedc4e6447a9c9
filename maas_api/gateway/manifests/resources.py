"""How every rendered resource begins."""

from __future__ import annotations

from typing import Any

from maas_api.gateway.manifests.options import Options, Target
from maas_api.providers import SERVICE_SUFFIX

Manifest = dict[str, Any]

PROVIDER_LABEL = "maas.opendatahub.io/provider"
"""Says which provider a resource belongs to; absent where it serves all of them."""


def resource(
    api_version: str, kind: str, name: str, options: Options, target: Target | None = None, **body: Any
) -> Manifest:
    """A resource in the options' namespace, of one provider or (without ``target``) of all."""
    labels = {
        "app.kubernetes.io/name": "maas-api",
        "app.kubernetes.io/component": "external-models",
        "app.kubernetes.io/managed-by": "maas-api-gateway-render",
    }
    if target is not None:
        labels[PROVIDER_LABEL] = target.provider.name
    metadata = {"name": name, "namespace": options.namespace, "labels": labels}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **body}


def bearer_port(target: Target) -> int:
    """A second port of the provider's, which leads to the same: its connections get the key as ``Authorization:
    Bearer``, where the first's get it in the provider's own header. A key belongs to a connection pool, and a pool to a
    port."""
    port = target.provider.port
    return port + 1 if port < 65535 else port - 1


def service_name(target: Target) -> str:
    """The Service that stands for the provider in the cluster."""
    return target.provider.name + SERVICE_SUFFIX


def route_name(target: Target) -> str:
    """The provider's HTTPRoute, which the policies target."""
    return f"{target.provider.name}-bridge"


def listing_name(target: Target) -> str:
    """The HTTPRoute of the provider's list of models, which leads to maas-api."""
    return f"{target.provider.name}-models"


def on_route(target: Target) -> Manifest:
    """A policy's reference to the provider's HTTPRoute."""
    return {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": route_name(target)}


def on_gateway(options: Options) -> list[Manifest]:
    """An Istio resource's reference to the gateway."""
    return [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": options.gateway}]


def parents(options: Options) -> list[Manifest]:
    """A route's reference to the gateway."""
    return [
        {
            "group": "gateway.networking.k8s.io",
            "kind": "Gateway",
            "name": options.gateway,
            "namespace": options.gateway_namespace,
        }
    ]
