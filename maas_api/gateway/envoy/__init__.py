"""The configuration of a local Envoy gateway, generated: a pure function from a plan to files.

``bootstrap.yaml`` holds the listener; ``clusters.yaml`` and ``routes.yaml`` are watched by Envoy, so that a changed
catalog needs no restart; the secrets lie in files of their own (:mod:`maas_api.gateway.envoy.secrets`).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml

from maas_api.gateway.envoy import repeater
from maas_api.gateway.envoy.clusters import cluster_resources
from maas_api.gateway.envoy.listener import listener_resource
from maas_api.gateway.envoy.plan import (
    Address,
    LocalRoute,
    Plan,
    PlanError,
    ProviderRoute,
    Tls,
    Upstream,
    provider_route,
)
from maas_api.gateway.envoy.routes import route_configuration
from maas_api.gateway.envoy.xds import Json, extension, typed, watched

__all__ = [
    "BOOTSTRAP",
    "CLUSTERS",
    "ROUTES",
    "Address",
    "LocalRoute",
    "Plan",
    "PlanError",
    "ProviderRoute",
    "Tls",
    "Upstream",
    "provider_route",
    "render",
    "version",
]

BOOTSTRAP, CLUSTERS, ROUTES = "bootstrap.yaml", "clusters.yaml", "routes.yaml"


def render(plan: Plan, folder: Path, *, admin_socket: Path | None = None) -> dict[str, str]:
    """File name -> text of every file of the configuration, which belongs into ``folder`` (absolute).

    The same plan gives the same bytes. ``admin_socket`` opens Envoy's admin interface on a Unix socket there, and
    beside it one by which records of calls are repeated; without it there is neither.
    """
    return {
        CLUSTERS: _resources("envoy.config.cluster.v3.Cluster", cluster_resources(plan, folder)),
        ROUTES: _resources("envoy.config.route.v3.RouteConfiguration", [route_configuration(plan)]),
        BOOTSTRAP: _yaml(_bootstrap(plan, folder, admin_socket)),
    }


def _overload(name: str, threshold: Json) -> Json:
    return {"name": name, "triggers": [{"name": "envoy.resource_monitors.fixed_heap", **threshold}]}


_OVERLOAD_ACTIONS = [
    _overload("envoy.overload_actions.shrink_heap", {"threshold": {"value": 0.85}}),
    _overload(
        "envoy.overload_actions.reset_high_memory_stream",
        {"scaled": {"scaling_threshold": 0.90, "saturation_threshold": 0.98}},
    ),
    _overload("envoy.overload_actions.stop_accepting_requests", {"threshold": {"value": 0.95}}),
]


def _bootstrap(plan: Plan, folder: Path, admin_socket: Path | None) -> Json:
    repeats = plan.internal_secret and admin_socket is not None
    static: Json = {"listeners": [listener_resource(plan, folder, repeats=repeats)]}
    if repeats and admin_socket is not None:
        socket = admin_socket.with_name(repeater.SOCKET)
        static["listeners"].append(repeater.listener(socket, plan.usage_repeat_seconds))
        static["clusters"] = [repeater.cluster(socket)]
    bootstrap: Json = {
        "node": {"id": "maas-gateway", "cluster": "maas-gateway"},  # Envoy asks for both where secrets are files
        "static_resources": static,
        "dynamic_resources": {"cds_config": watched(folder / CLUSTERS)},
        "overload_manager": {
            "refresh_interval": "0.25s",
            "resource_monitors": [
                extension(
                    "envoy.resource_monitors.fixed_heap",
                    "envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",
                    max_heap_size_bytes=plan.max_heap_bytes,
                ),
                extension(
                    "envoy.resource_monitors.global_downstream_max_connections",
                    "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                    max_active_downstream_connections=10_000,
                ),
            ],
            "actions": _OVERLOAD_ACTIONS,
            "buffer_factory_config": {"minimum_account_to_track_power_of_two": 20},  # streams that hold a MiB or more
        },
    }
    if admin_socket is not None:
        bootstrap["admin"] = {"address": {"pipe": {"path": str(admin_socket), "mode": 0o600}}}
    return bootstrap


def _resources(kind: str, resources: list[Json]) -> str:
    """A file of xDS resources, with a version that changes with its content and shows in Envoy's statistics."""
    version = hashlib.sha256(json.dumps(resources, sort_keys=True).encode()).hexdigest()[:16]
    return _yaml({"version_info": version, "resources": [typed(kind, **resource) for resource in resources]})


def version(text: str) -> str:
    """The version in the text of a rendered file, as Envoy's ``version_text`` statistics show it."""
    return str(yaml.safe_load(text)["version_info"])


class _Dumper(yaml.SafeDumper):
    """YAML without anchors: Envoy would read them, people would not."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _yaml(value: Json) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=120)
