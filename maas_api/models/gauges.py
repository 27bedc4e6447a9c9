"""Gauges of the catalog and of what fills it, connected to the parts they read from."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

from maas_api.kube.objects import Feed, FeedStatus
from maas_api.models.catalog import Catalog
from maas_api.observability import metrics


class Builds:
    """Takes the time of every build of the catalog."""

    def built(self, seconds: float, models: int, problems: int) -> None:
        """One more build."""
        metrics.catalog_builds.observe(seconds)
        metrics.catalog_models.set(models)
        metrics.catalog_problems.set(problems)


def connect(catalog: Catalog, feeds: Sequence[Feed]) -> None:
    """Let the gauges read the catalog and the freshness of every feed, about twice a second."""
    metrics.catalog_ready.read_from(lambda: sum(row.entry.ready for row in catalog.snapshot.rows))
    metrics.registry_outdated.read_from(lambda: bool(catalog.outdated()))
    for feed in feeds:
        ask = partial(catalog.status_of, feed)
        for status in ask():
            name = status.name
            metrics.watch_synced.labels(name).read_from(partial(_read, ask, name, lambda now: now.synced))
            metrics.watch_stale.labels(name).read_from(partial(_read, ask, name, _stale))
            metrics.watch_contact.labels(name).read_from(partial(_read, ask, name, lambda now: time.time() - now.age))


def _stale(now: FeedStatus) -> bool:
    return now.state in ("stale", "refused")


def _read(ask: Callable[[], list[FeedStatus]], name: str, value: Callable[[FeedStatus], float]) -> float:
    return value(next(status for status in ask() if status.name == name))
