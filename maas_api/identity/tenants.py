"""``GET /v1/tenants``: the tenant of this installation and where its gateway is reached, for the platform's console.

Off unless asked for, because it is the one answer that needs to read a Gateway. The caller's own token is reviewed
here: the console calls without a gateway in between.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import flask

from maas_api.config import ConfigError, Settings
from maas_api.errors import ApiError, encode
from maas_api.kube.client import Client, KubeError

_log = logging.getLogger(__name__)

SECONDS = 1.6
"""For each of three questions to the cluster: the console waits five seconds for the answer."""

_ORDINARY = {"verb": "create", "group": "authorization.k8s.io", "resource": "selfsubjectaccessreviews"}
"""What every authenticated user of a cluster may do, unless it was taken from them."""


class Endpoint(NamedTuple):
    """How a gateway is reached from outside. ``protocol`` is http or https."""

    protocol: str
    host: str
    port: int

    @property
    def url(self) -> str:
        """The base URL, without the protocol's usual port."""
        usual = {"https": 443, "http": 80}[self.protocol]
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.protocol}://{shown}" + ("" if self.port == usual else f":{self.port}")


def endpoint(gateway: Mapping[str, Any]) -> Endpoint | None:
    """The first HTTP listener with routes attached: by its hostname, else by the gateway's first address.

    None where the gateway says neither.
    """
    status = _mapping(gateway.get("status"))
    attached = {item.get("name") for item in _items(status.get("listeners")) if item.get("attachedRoutes")}
    addresses = [str(item["value"]) for item in _items(status.get("addresses")) if item.get("value")]
    for listener in _items(_mapping(gateway.get("spec")).get("listeners")):
        protocol = str(listener.get("protocol", "")).lower()
        if listener.get("name") not in attached or protocol not in ("http", "https"):
            continue
        hostname = str(listener.get("hostname") or "")
        host = hostname if hostname and not hostname.startswith("*") else next(iter(addresses), "")
        if host and isinstance(listener.get("port"), int):
            return Endpoint(protocol, host, listener["port"])
    return None


def blueprint(settings: Settings, client: Client | None) -> flask.Blueprint:
    """The route, over a client of the installation's cluster. Raises ConfigError without a cluster."""
    if client is None:
        raise ConfigError("--tenants-endpoint (TENANTS_ENDPOINT): needs a cluster, and none is set")
    views = flask.Blueprint("tenants", __name__)

    @views.get("/v1/tenants")
    def tenants() -> flask.Response:
        try:
            _admit(client, flask.request.headers.get("Authorization", ""))
            found = _gateway(client, settings)
        except KubeError as fault:
            _log.warning("the cluster could not be asked about the tenant", extra={"fault": str(fault)})
            raise _refusal(503, "Cluster unavailable", "The cluster could not be asked now, try again") from None
        where = endpoint(found)
        if where is None:
            raise _refusal(500, "Failed to resolve gateway", "The Gateway has no listener with routes and an address")
        gateway = {
            "name": settings.gateway_name,
            "namespace": settings.gateway_namespace,
            "protocol": where.protocol,
            "externalUrl": where.url,
            "port": where.port,
        }
        body = {"tenants": [{"name": settings.tenant_name, "gateway": gateway}]}
        response = flask.Response(encode(body), content_type="application/json; charset=utf-8")
        response.headers["Cache-Control"] = "no-store"
        return response

    return views


def _admit(client: Client, authorization: str) -> None:
    """Any user of the cluster passes. Raises ApiError 401 or 403, KubeError."""
    scheme, _, token = authorization.partition(" ")
    user = client.token_review(token.strip(), seconds=SECONDS) if scheme.lower() == "bearer" and token.strip() else None
    if user is None:
        raise _refusal(401, "Unauthorized", "Send Authorization: Bearer with a token of this cluster")
    if not client.subject_access_review(user.username, user.groups, _ORDINARY, seconds=SECONDS):
        raise _refusal(403, "Forbidden", "The user may not ask what it may do in this cluster")


def _gateway(client: Client, settings: Settings) -> Mapping[str, Any]:
    """The installation's Gateway. Raises ApiError 404, KubeError."""
    path = f"/apis/gateway.networking.k8s.io/v1/namespaces/{settings.gateway_namespace}/gateways"
    listed = client.get(path, {"fieldSelector": f"metadata.name={settings.gateway_name}"})
    for item in _items(_mapping(listed).get("items")):
        return item
    place = f"{settings.gateway_name} in namespace {settings.gateway_namespace}"
    raise _refusal(404, "Gateway not found", f"There is no Gateway {place}")


def _refusal(status: int, error: str, details: str) -> ApiError:
    return ApiError(status, {"error": error, "details": details}, (("Cache-Control", "no-store"),))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _items(value: Any) -> Iterator[Mapping[str, Any]]:
    return (item for item in value if isinstance(item, Mapping)) if isinstance(value, list) else iter(())
