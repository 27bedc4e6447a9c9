"""What fills the stores, chosen by the settings: a folder of manifests, a cluster, or both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from maas_api.config import Settings
from maas_api.kube.files import FolderSource
from maas_api.kube.objects import KINDS, Feed, Kind, ObjectStore
from maas_api.lifecycle import Background


class Sources(NamedTuple):
    """Stores, the feeds that fill them, and what has to run for that (feeds in the order they start)."""

    stores: tuple[ObjectStore, ...]
    feeds: tuple[Feed, ...]
    background: tuple[Background, ...]

    def of(self, *kinds: Kind) -> tuple[ObjectStore, ...]:
        """The stores of some kinds."""
        return tuple(store for store in self.stores if store.kind in kinds)


def build(settings: Settings, kinds: Sequence[Kind] = KINDS) -> Sources:
    """The sources of the settings. Starts nothing."""
    stores: list[ObjectStore] = []
    feeds: list[FolderSource] = []
    if settings.manifests is not None:
        folder = FolderSource(settings.manifests, kinds, default_namespace=settings.namespace)
        stores.extend(folder.stores.values())
        feeds.append(folder)
    return Sources(tuple(stores), tuple(feeds), tuple(feeds))
