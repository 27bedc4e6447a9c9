"""Who used how much, on Istio and on Kuadrant: what reads it in the gateway, and how it gets to maas-api.

The answer is read by the local gateway's own filter (:mod:`maas_api.gateway.envoy.metering`). Neither gateway keeps a
header of the authorizer's answer as metadata (Istio has no field for it, Authorino's are Kuadrant's own). So it comes
as a header of the request, which a filter behind every policy takes off again.

Envoys of these gateways post no OTLP over HTTP; they speak gRPC to a collector, and that posts to maas-api, again until
it was taken (:mod:`.collector`). Two ways lead to it:

``filter``     the log is added to the gateway's own by an EnvoyFilter. It needs nothing of the mesh's configuration,
               and takes nothing from it
``telemetry``  Istio's Telemetry with an extension provider of the mesh's (``maas-api gateway mesh-values --metering``).
               A Telemetry's logs **replace** those of the mesh for this gateway (istio/istio, mergeLogs)
"""

from __future__ import annotations

import json
from typing import Final

from maas_api.gateway.envoy import metering
from maas_api.gateway.envoy.clusters import grpc_cluster
from maas_api.gateway.envoy.xds import Json, typed
from maas_api.gateway.manifests.collector import NAME, OTLP_PORT, beside, collector, collector_host
from maas_api.gateway.manifests.options import Options
from maas_api.gateway.manifests.resources import Manifest, on_gateway, resource
from maas_api.gateway.quota import SAID
from maas_api.usage import record

__all__ = ["CALLER", "PROVIDER", "attributes", "beside", "metered", "patch", "usage_provider"]

CALLER: Final = "maas.caller"
"""The namespace of the metadata in which the gateway keeps whose call it is."""
PROVIDER: Final = "maas-usage"
"""The mesh's extension provider."""
_PATH: Final = "path"
_BEHIND: Final = 9
"""Priority of the EnvoyFilter: behind every policy, before what sends a call at the root elsewhere."""
MANAGER: Final = "envoy.filters.network.http_connection_manager"
_LOG_NAME: Final = "maas_usage"

_TAKE_OFF: Final = """
-- Behind every policy: what the authorizer said of the caller is kept beside the request, and goes no further in it.
local SAID = { %(said)s }

function envoy_on_request(handle)
  local headers, kept = handle:headers(), handle:streamInfo():dynamicMetadata()
  for _, name in ipairs(SAID) do
    local value = headers:get(name)
    if value then
      headers:remove(name)
      if value ~= "" then kept:set(CALLER, name, value) end
    end
  end
  kept:set(CALLER, "%(path)s", match(headers:get(":path") or "", "^[^?]*"))
end
"""


def metered(options: Options) -> list[Manifest]:
    """The gateway's part and the collector; nothing where nothing is to be metered."""
    if options.metering == "off":
        return []
    reading = [patch("HTTP_FILTER", "INSERT_BEFORE", _reader(), {"subFilter": {"name": "envoy.filters.http.router"}})]
    if options.metering == "filter":
        return [*collector(options), _filter(options, [*reading, *_log(options)])]
    return [*collector(options), _filter(options, reading), _telemetry(options)]


def usage_provider(service: str) -> Manifest:
    """The mesh's extension provider of ``telemetry``; ``service`` is the collector's full name in the cluster."""
    labels = attributes()
    log_format = {"text": "call", "labels": labels}
    return {
        "name": PROVIDER,
        "envoyOtelAls": {"service": service, "port": OTLP_PORT, "logName": _LOG_NAME, "logFormat": log_format},
    }


def attributes() -> dict[str, str]:
    """The local gateway's, but for the path: not every Envoy of a mesh can write one without its query."""
    return {**metering.attributes(CALLER), record.PATH: f"%DYNAMIC_METADATA({CALLER}:{_PATH})%"}


def _reader() -> Json:
    said = ", ".join(json.dumps(name) for name in SAID.values())
    return metering.usage_reader(CALLER, _TAKE_OFF % {"said": said, "path": _PATH})


def _log(options: Options) -> list[Json]:
    to: Json = {
        "common_config": {
            "log_name": _LOG_NAME,
            "transport_api_version": "V3",
            "grpc_service": {"envoy_grpc": {"cluster_name": NAME}, "timeout": "5s"},
            "buffer_flush_interval": metering.FLUSH_SECONDS,
            "buffer_size_bytes": metering.BUFFER_BYTES,
        }
    }
    log = metering.otlp_log(CALLER, attributes(), to)
    manager = typed(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", access_log=[log]
    )
    # Found by DNS: the mesh may not tell this gateway of that Service.
    cluster = grpc_cluster(NAME, collector_host(options), OTLP_PORT)
    return [
        {
            "applyTo": "CLUSTER",
            "match": {"context": "GATEWAY"},
            "patch": {"operation": "ADD", "value": cluster},
        },
        patch("NETWORK_FILTER", "MERGE", {"typed_config": manager}, {}),
    ]


def patch(place: str, operation: str, value: Json, more: Json) -> Json:
    """An EnvoyFilter's patch of the HTTP connection manager, or of what ``more`` names in it."""
    chain = {"filter": {"name": MANAGER, **more}}
    return {
        "applyTo": place,
        "match": {"context": "GATEWAY", "listener": {"filterChain": chain}},
        "patch": {"operation": operation, "value": value},
    }


def _filter(options: Options, patches: list[Json]) -> Manifest:
    spec = {"targetRefs": on_gateway(options), "priority": _BEHIND, "configPatches": patches}
    found = resource("networking.istio.io/v1alpha3", "EnvoyFilter", f"{options.gateway}-usage", options, spec=spec)
    found["metadata"]["namespace"] = options.gateway_namespace
    return found


def _telemetry(options: Options) -> Manifest:
    known = f"'{SAID[record.USER]}' in metadata.filter_metadata['{CALLER}']"
    logging = {"providers": [{"name": PROVIDER}], "filter": {"expression": known}}
    spec = {"targetRefs": on_gateway(options), "accessLogging": [logging]}
    found = resource("telemetry.istio.io/v1", "Telemetry", f"{options.gateway}-usage", options, spec=spec)
    found["metadata"]["namespace"] = options.gateway_namespace
    return found
