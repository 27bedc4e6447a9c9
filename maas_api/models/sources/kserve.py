"""LLMInferenceService objects as catalog entries. Pure: objects in, entry or reason out, nothing is probed.

The rules are those of the KServe listing of the Go service: which services belong to a gateway, when one is ready,
which address is its URL. Where that listing asked the model server for the model's names, this one reads what
KServe itself wrote into the object.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from maas_api.models.model import LocalModel, Mapped, ModelEntry, Omission
from maas_api.models.sources.fields import annotated_details, at, created, items, origin, readiness, text

SOURCE = "llminferenceservices"

Object = Mapping[str, Any]


class Routes(Protocol):
    """The HTTPRoutes known now."""

    def named(self, namespace: str, name: str) -> Iterable[Object]:
        """The route of that name; at most one per feed."""

    def managed(self, namespace: str, service: str) -> Iterable[Object]:
        """The routes that carry :func:`managed_labels` of the service."""


class Gateway(NamedTuple):
    """The gateway whose models are listed."""

    name: str
    namespace: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def to_entry(obj: Object, gateway: Gateway, routes: Routes) -> Mapped:
    """The object's entry, or the reason why it is left out."""
    reason = "" if belongs(obj, gateway, routes) else _not_on(obj, gateway)
    url = choose_url(obj)
    if not reason and not url:
        reason = "no address: status has no url, address or addresses"
    if reason:
        return Mapped(omissions=(Omission(SOURCE, origin(obj), reason),))
    namespace, name = text(obj, "metadata", "namespace"), text(obj, "metadata", "name")
    identifier = text(obj, "spec", "model", "name") or name
    unready = readiness(obj)
    entry = ModelEntry(
        id=identifier,
        created=created(obj),
        owned_by=namespace,
        ready=not unready,
        unready=unready,
        source=SOURCE,
        origin=origin(obj),
        url=url,
        details=annotated_details(obj),
        aliases=other_names(obj, identifier),
        namespace=namespace,
        local=LocalModel(name, namespace, f"/{namespace}/{name}/", internal_address(obj)),
    )
    return Mapped(entries=(entry,))


def _not_on(obj: Object, gateway: Gateway) -> str:
    if not isinstance(at(obj, "spec", "router"), Mapping):
        return f"not on gateway {gateway}: spec.router is not set"
    return f"not on gateway {gateway}"


# -- membership


def belongs(obj: Object, gateway: Gateway, routes: Routes) -> bool:
    """Whether the service is reached through the gateway, in any of the four ways it can say so.

    The gateway named in ``spec.router``; in the inline route's parentRefs; in the parentRefs of a referenced
    HTTPRoute; or in those of the HTTPRoute KServe manages for it. A reference without a namespace means the
    service's own. Only names count: a parentRef's kind and section and the route's status are not looked at.
    """
    router = at(obj, "spec", "router")
    if not isinstance(router, Mapping):
        return False
    namespace = text(obj, "metadata", "namespace")
    if _names(items(router, "gateway", "refs"), gateway, namespace):
        return True
    http = at(router, "route", "http")
    if not isinstance(http, Mapping):
        return False
    if _names(items(http, "spec", "parentRefs"), gateway, namespace):
        return True
    needed = route_needs(obj)
    chosen = chain.from_iterable(
        routes.managed(need.namespace, need.name) if need.managed else routes.named(need.namespace, need.name)
        for need in needed
    )
    return any(_names(items(route, "spec", "parentRefs"), gateway, namespace) for route in chosen)


class RouteNeed(NamedTuple):
    """An HTTPRoute a service's membership may depend on: one by name, or the one managed for the service."""

    managed: bool
    namespace: str
    name: str


def route_needs(obj: Object) -> tuple[RouteNeed, ...]:
    """The HTTPRoutes to look at for a service: those it references, or else the managed one."""
    http = at(obj, "spec", "router", "route", "http")
    if not isinstance(http, Mapping):
        return ()
    namespace = text(obj, "metadata", "namespace")
    if http.get("refs"):
        names = (text(ref, "name") for ref in items(http, "refs"))
        return tuple(RouteNeed(False, namespace, name) for name in names if name)
    if http.get("spec") is None:
        return (RouteNeed(True, namespace, text(obj, "metadata", "name")),)
    return ()


def managed_labels(name: str) -> dict[str, str]:
    """The labels of the HTTPRoute that KServe's controller makes for a service."""
    return {
        "app.kubernetes.io/component": "llminferenceservice-router",
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/part-of": "llminferenceservice",
    }


def _names(refs: list[Any], gateway: Gateway, namespace: str) -> bool:
    return any(
        text(ref, "name") == gateway.name and (text(ref, "namespace") or namespace) == gateway.namespace for ref in refs
    )


# -- addresses


def candidate_urls(obj: Object) -> list[str]:
    """The addresses in the order the Go service tries them: ``addresses`` (or ``address`` if there are none), those
    named external first, then internal, then the rest; ``status.url`` last."""
    addresses = items(obj, "status", "addresses") or [at(obj, "status", "address")]
    ranked = sorted(addresses, key=_rank)
    found = [text(address, "url") for address in ranked] + [text(obj, "status", "url")]
    return [url for url in found if url]


def choose_url(obj: Object) -> str:
    """The entry's URL: the first candidate, "" without one."""
    return next(iter(candidate_urls(obj)), "")


def _rank(address: Any) -> int:
    name = text(address, "name").lower()
    return 0 if "external" in name else 1 if "internal" in name else 2


def internal_address(obj: Object) -> str:
    """The base URL inside the cluster: an address named internal, else one with a cluster host name, else
    ``status.address`` (in-cluster by Knative's definition of addressable), else ""."""
    addresses = items(obj, "status", "addresses")
    named = [text(address, "url") for address in addresses if "internal" in text(address, "name").lower()]
    hosted = [text(address, "url") for address in addresses if _in_cluster(text(address, "url"))]
    found = [url for url in (*named, *hosted, text(obj, "status", "address", "url")) if url]
    return next(iter(found), "")


def _in_cluster(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return host.endswith((".svc", ".svc.cluster.local"))


def other_names(obj: Object, identifier: str) -> tuple[str, ...]:
    """The further names the model answers to: its LoRA adapters, and the models its addresses list."""
    adapters = [text(adapter, "name") for adapter in items(obj, "spec", "model", "lora", "adapters")]
    listed = [
        text(model, "name") for address in items(obj, "status", "addresses") for model in items(address, "models")
    ]
    return tuple(dict.fromkeys(name for name in (*adapters, *listed) if name and name != identifier))
