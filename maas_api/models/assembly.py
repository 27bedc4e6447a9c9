"""The catalog of the settings, over the sources of the settings."""

from __future__ import annotations

from maas_api.config import Settings
from maas_api.kube.objects import CONFIG_MAP, HTTP_ROUTE, INFERENCE_SERVICE, LLM_INFERENCE_SERVICE, MAAS_MODEL_REF
from maas_api.kube.sources import Sources
from maas_api.models import gauges
from maas_api.models.catalog import Catalog
from maas_api.models.documents import StoredDocuments
from maas_api.models.lastgood import LastGood
from maas_api.models.sources.kserve import Gateway
from maas_api.observability import metrics
from maas_api.store.database import Database

KINDS = (LLM_INFERENCE_SERVICE, HTTP_ROUTE, INFERENCE_SERVICE, MAAS_MODEL_REF, CONFIG_MAP)
"""What the catalog is made of. Kinds that the settings switch off have no source."""


def last_good(database: Database) -> LastGood:
    """The registry's last good documents, shared by whoever uses the database. Starts nothing."""
    return LastGood(StoredDocuments(database), failed=metrics.store_errors.labels("registry").inc)


def catalog(settings: Settings, sources: Sources, last_good: LastGood | None = None) -> Catalog:
    """The catalog, read by the gauges. Starts nothing."""
    feeds = {source.store: source.feed for source in sources.all}
    built = Catalog(
        gateway=Gateway(settings.gateway_name, settings.gateway_namespace),
        registry=(settings.namespace, settings.registry_configmap),
        stores=sources.of(*KINDS),
        feeds=sources.feeds(*KINDS),
        filled_by=feeds.get,
        last_good=last_good,
        routed=frozenset(settings.routed_providers),
        observer=gauges.Builds(),
    )
    gauges.connect(built, sources.every_feed)
    return built
