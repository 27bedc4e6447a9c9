"""The catalog of the settings, over the sources of the settings."""

from __future__ import annotations

from maas_api.config import ConfigError, Settings
from maas_api.identity.headers import Identity
from maas_api.kube.client import Client
from maas_api.kube.objects import CONFIG_MAP, HTTP_ROUTE, INFERENCE_SERVICE, LLM_INFERENCE_SERVICE, MAAS_MODEL_REF
from maas_api.kube.sources import Sources
from maas_api.models.access import ReviewedNamespaces
from maas_api.models.catalog import Catalog, CatalogObserver
from maas_api.models.kserve import Gateway

KINDS = (LLM_INFERENCE_SERVICE, HTTP_ROUTE, INFERENCE_SERVICE, MAAS_MODEL_REF, CONFIG_MAP)
"""What the catalog is made of. Kinds that the settings switch off have no source."""


def catalog(settings: Settings, sources: Sources, *, observer: CatalogObserver | None = None) -> Catalog:
    """The catalog. Starts nothing."""
    return Catalog(
        gateway=Gateway(settings.gateway_name, settings.gateway_namespace),
        registry=(settings.namespace, settings.registry_configmap),
        stores=sources.of(*KINDS),
        feeds=sources.feeds(*KINDS),
        observer=observer,
    )


def namespace_access(settings: Settings, client: Client | None) -> ReviewedNamespaces | None:
    """The namespace check, None where it is off. Raises ConfigError where it is on and there is no cluster to ask."""
    if not settings.namespace_access_check:
        return None
    if client is None:
        raise ConfigError(
            "--namespace-access-check (NAMESPACE_ACCESS_CHECK): needs a cluster to ask, and --kubernetes is off"
        )

    def ask(who: Identity, namespace: str) -> bool:
        kind = LLM_INFERENCE_SERVICE
        attributes = {"namespace": namespace, "verb": "get", "group": kind.group, "resource": kind.plural}
        return client.subject_access_review(who.username, who.groups, attributes)

    return ReviewedNamespaces(ask)
