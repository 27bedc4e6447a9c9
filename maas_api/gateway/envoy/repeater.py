"""How records of calls get to maas-api although it is restarted, or its store is away: they are sent until taken.

Envoy's OTLP exporter sends each batch once and forgets it. So it sends them to this Envoy itself, to a listener on a
Unix socket, whose route repeats: the same bytes again, which maas-api knows when it has counted them already. Batches
are some dozen kilobytes, two a second in each thread: that is what waits in memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from maas_api.gateway.envoy import clusters
from maas_api.gateway.envoy.xds import Json, extension

NAME: Final = "usage-repeater"
SOCKET: Final = "usage.sock"
TRY_SECONDS: Final = 6
"""How long one attempt may take: maas-api gives up on its store after five."""


def listener(socket: Path, seconds: int) -> Json:
    """The listener. A batch that was not taken for ``seconds`` is given up."""
    route = {
        "match": {"prefix": "/"},
        "route": {
            "cluster": clusters.AUTHORITY,
            "timeout": f"{seconds}s",
            "retry_policy": {
                "retry_on": "5xx,reset,connect-failure",
                "num_retries": 1000,  # until the time is over
                "per_try_timeout": f"{TRY_SECONDS}s",
                "retry_back_off": {"base_interval": "0.25s", "max_interval": "2s"},
            },
        },
    }
    manager = extension(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=NAME,
        generate_request_id=False,
        route_config={
            "validate_clusters": False,
            "virtual_hosts": [{"name": NAME, "domains": ["*"], "routes": [route]}],
        },
        http_filters=[
            extension(
                "envoy.filters.http.router",
                "envoy.extensions.filters.http.router.v3.Router",
                suppress_envoy_headers=True,
            )
        ],
    )
    return {"name": NAME, "address": _pipe(socket), "filter_chains": [{"filters": [manager]}]}


def cluster(socket: Path) -> Json:
    """The way to it: one connection for all batches."""
    return {
        "name": NAME,
        "type": "STATIC",
        "connect_timeout": clusters.CONNECT_TIMEOUT,
        "load_assignment": {
            "cluster_name": NAME,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _pipe(socket)}}]}],
        },
        "typed_extension_protocol_options": {
            clusters.PROTOCOL_OPTIONS: clusters.protocol_options(
                {"explicit_http_config": {"http2_protocol_options": {}}}, []
            )
        },
    }


def _pipe(socket: Path) -> Json:
    return {"pipe": {"path": str(socket), "mode": 0o600}}
