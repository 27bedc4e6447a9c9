"""The catalog of the settings, over the sources of the settings."""

from __future__ import annotations

from maas_api.config import Settings
from maas_api.kube.objects import CONFIG_MAP, HTTP_ROUTE, INFERENCE_SERVICE, LLM_INFERENCE_SERVICE, MAAS_MODEL_REF
from maas_api.kube.sources import Sources
from maas_api.models import gauges
from maas_api.models.catalog import Catalog
from maas_api.models.sources.kserve import Gateway

KINDS = (LLM_INFERENCE_SERVICE, HTTP_ROUTE, INFERENCE_SERVICE, MAAS_MODEL_REF, CONFIG_MAP)
"""What the catalog is made of. Kinds that the settings switch off have no source."""


def catalog(settings: Settings, sources: Sources) -> Catalog:
    """The catalog, read by the gauges. Starts nothing."""
    built = Catalog(
        gateway=Gateway(settings.gateway_name, settings.gateway_namespace),
        registry=(settings.namespace, settings.registry_configmap),
        stores=sources.of(*KINDS),
        feeds=sources.feeds(*KINDS),
        observer=gauges.Builds(),
    )
    gauges.connect(built, sources.every_feed)
    return built
