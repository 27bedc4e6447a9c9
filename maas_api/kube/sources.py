"""What fills the stores, chosen by the settings: a folder of manifests, a cluster, or both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from maas_api.config import ConfigError, Settings
from maas_api.kube.backoff import Timing
from maas_api.kube.client import Client, KubeError, connect
from maas_api.kube.credentials import in_cluster
from maas_api.kube.files import FolderSource
from maas_api.kube.objects import (
    CONFIG_MAP,
    GROUP,
    HTTP_ROUTE,
    INFERENCE_SERVICE,
    LLM_INFERENCE_SERVICE,
    MAAS_AUTH_POLICY,
    MAAS_MODEL_REF,
    MAAS_SUBSCRIPTION,
    Feed,
    Kind,
    ObjectStore,
)
from maas_api.kube.reflector import Reflector
from maas_api.lifecycle import Background


class Source(NamedTuple):
    """One store and the feed that fills it."""

    store: ObjectStore
    feed: Feed


class Sources(NamedTuple):
    """Every source; ``background`` is what has to run for them, ``client`` the cluster's, None without one."""

    all: tuple[Source, ...]
    background: tuple[Background, ...]
    client: Client | None

    def of(self, *kinds: Kind) -> tuple[ObjectStore, ...]:
        """The stores of some kinds."""
        return tuple(source.store for source in self.all if source.store.kind in kinds)

    def feeds(self, *kinds: Kind) -> tuple[Feed, ...]:
        """The feeds of some kinds, each once."""
        return tuple(dict.fromkeys(source.feed for source in self.all if source.store.kind in kinds))

    @property
    def every_feed(self) -> tuple[Feed, ...]:
        """Every feed, each once."""
        return tuple(dict.fromkeys(source.feed for source in self.all))

    def exists(self, kind: Kind) -> bool:
        """Whether a cluster has the kind, as far as it was asked. A folder cannot say, so it does not count."""
        return any(
            status.state in ("live", "stale")
            for source in self.all
            if source.store.kind == kind and isinstance(source.feed, Reflector)
            for status in source.feed.status()
        )


class Wanted(NamedTuple):
    """A kind to read. ``required``: its absence from a cluster keeps the service unready. ``optional``: a cluster that
    forbids reading it does not; the other sources are listed."""

    kind: Kind
    required: bool = False
    optional: bool = False
    namespace: str = ""
    name: str = ""
    label: str = ""


def wanted(settings: Settings) -> tuple[Wanted, ...]:
    """The kinds that the settings switch on, in a stable order. ``permissions.needed`` grants exactly these."""
    found: list[Wanted] = []
    if settings.source_llminferenceservices != "off":
        found.append(_switched(LLM_INFERENCE_SERVICE, settings.source_llminferenceservices))
        found.append(Wanted(HTTP_ROUTE, optional=settings.source_llminferenceservices == "auto"))
    if settings.source_inferenceservices != "off":
        found.append(_switched(INFERENCE_SERVICE, settings.source_inferenceservices))
    if settings.source_maasmodelrefs != "off":
        found.append(_switched(MAAS_MODEL_REF, settings.source_maasmodelrefs))
    if settings.source_registry != "off":
        found.append(Wanted(CONFIG_MAP, namespace=settings.namespace, name=settings.registry_configmap))
    if settings.source_subscriptions != "off":
        required, place = settings.source_subscriptions == "on", settings.maas_subscription_namespace
        # Never optional: without them nothing is known about who may use what.
        found.append(Wanted(MAAS_SUBSCRIPTION, required, namespace=place))
        found.append(Wanted(MAAS_AUTH_POLICY, required, namespace=place))
    # Required: a cluster without the kind must not look like one in which nobody is in any group.
    if settings.live_groups == "openshift":
        found.append(Wanted(GROUP, required=True))
    if settings.live_groups == "configmap":
        place, name = settings.namespace, settings.live_groups_configmap
        found.append(Wanted(CONFIG_MAP, namespace=place, name=name, label=f"{CONFIG_MAP.plural}/{name}"))
    return tuple(found)


def _switched(kind: Kind, switch: str) -> Wanted:
    return Wanted(kind, required=switch == "on", optional=switch == "auto")


def uses_cluster(settings: Settings, environ: Mapping[str, str]) -> bool:
    """Whether to watch a cluster: asked for, or (auto) there is one to reach and no folder takes its place."""
    if settings.kubernetes != "auto":
        return settings.kubernetes == "on"
    return settings.manifests is None and (settings.kubeconfig is not None or in_cluster(environ))


def build(settings: Settings, environ: Mapping[str, str], *, timing: Timing = Timing()) -> Sources:  # noqa: B008 -- immutable
    """The sources of the settings. Starts nothing. Raises ConfigError where a cluster's credentials are unusable."""
    chosen = wanted(settings)
    sources: list[Source] = []
    background: list[Background] = []
    client = None
    if settings.manifests is not None:
        kinds = [item.kind for item in chosen]
        folder = FolderSource(settings.manifests, kinds, default_namespace=settings.namespace)
        sources += [Source(store, folder) for store in folder.stores.values()]
        background.append(folder)
    if uses_cluster(settings, environ):
        try:
            client = connect(settings.kubeconfig, qps=settings.kube_qps, burst=settings.kube_burst)
        except KubeError as fault:
            raise ConfigError(f"--kubernetes (KUBERNETES): {fault}") from None
        reflectors = [_reflector(client, item, timing) for item in chosen]
        sources += [Source(reflector.store, reflector) for reflector in reflectors]
        background += reflectors
    return Sources(tuple(sources), tuple(background), client)


def _reflector(client: Client, item: Wanted, timing: Timing) -> Reflector:
    return Reflector(
        client,
        ObjectStore(item.kind),
        namespace=item.namespace,
        field_selector=f"metadata.name={item.name}" if item.name else "",
        required=item.required,
        optional=item.optional,
        label=item.label,
        timing=timing,
    )
