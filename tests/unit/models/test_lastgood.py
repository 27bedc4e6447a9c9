"""The registry's last good document: the same for every worker, whichever saw it, and gone when it was deleted."""

from __future__ import annotations

from typing import Any

import pytest

from maas_api.kube.objects import CONFIG_MAP, FeedStatus, ObjectStore
from maas_api.models import gauges
from maas_api.models.catalog import Catalog
from maas_api.models.lastgood import Document, LastGood
from maas_api.models.sources.kserve import Gateway
from maas_api.observability import metrics
from tests.support.objects import registry

PLACE = ("maas-api", "external-model-registry")


class Shared:
    """Documents that several workers keep in one place, which may be unreachable."""

    def __init__(self) -> None:
        self.held: dict[str, Document] = {}
        self.down = False

    def _reach(self) -> None:
        if self.down:
            raise ConnectionError("the store is down")

    def read(self, name: str) -> Document | None:
        self._reach()
        return self.held.get(name)

    def keep(self, document: Document) -> None:
        self._reach()
        held = self.held.get(document.name)
        if held is None or held.uid != document.uid or held.version <= document.version:
            self.held[document.name] = document

    def forget(self, name: str, version: int) -> None:
        self._reach()
        held = self.held.get(name)
        if held is not None and held.version <= version:
            del self.held[name]


class LiveFeed:
    """In touch, always."""

    def status(self) -> list[FeedStatus]:
        return [FeedStatus("configmaps", "live", 0.0, "")]

    def complaints(self) -> list[str]:
        return []


class Worker:
    """One worker's store, catalog and view of what is shared. Nothing runs by itself."""

    def __init__(self, shared: Shared) -> None:
        self.maps = ObjectStore(CONFIG_MAP)
        self.last_good = LastGood(shared)
        self.feed = LiveFeed()
        self.catalog = Catalog(
            gateway=Gateway("gateway", "istio"),
            registry=PLACE,
            stores=(self.maps,),
            feeds=(self.feed,),
            filled_by=lambda store: self.feed,
            last_good=self.last_good,
        )
        self.catalog.build()

    def sees(self, document: str, version: int, uid: str = "u1") -> None:
        """The cluster's newest state arrives."""
        obj: dict[str, Any] = registry(document)
        obj["metadata"] |= {"resourceVersion": str(version), "uid": uid}
        self.maps.upsert(obj)
        self.catalog.build()

    def looks(self) -> list[str]:
        """One look at the store; returns what is listed afterwards."""
        self.last_good.look()
        return self.ids()

    def ids(self) -> list[str]:
        return [entry.id for entry in self.catalog.build().entries]


def good(*ids: str) -> str:
    return "[" + ", ".join(f"{{id: {name}, provider: p}}" for name in ids) + "]"


BROKEN = "[{id: a"


@pytest.fixture
def shared() -> Shared:
    return Shared()


def test_a_worker_that_starts_on_a_broken_registry_lists_what_the_others_list(shared: Shared) -> None:
    old = Worker(shared)
    old.sees(good("a", "b"), 5)
    old.looks()
    old.sees(BROKEN, 6)
    fresh = Worker(shared)
    fresh.sees(BROKEN, 6)
    assert not fresh.catalog.complete, "it does not know yet what is in force"
    assert fresh.looks() == old.looks() == ["a", "b"]
    assert fresh.catalog.complete
    assert [entry.created for entry in fresh.catalog.snapshot.entries] == [
        entry.created for entry in old.catalog.snapshot.entries
    ]


def test_workers_that_saw_different_good_documents_agree_on_the_newest(shared: Shared) -> None:
    one, other = Worker(shared), Worker(shared)
    one.sees(good("a"), 5)
    other.sees(good("a"), 5)
    other.sees(good("a", "b"), 6)  # the first one slept through this
    other.looks()
    one.looks()
    for worker in (one, other):
        worker.sees(BROKEN, 7)
    assert one.looks() == other.looks() == ["a", "b"]


def test_a_late_worker_does_not_put_an_older_document_in_force(shared: Shared) -> None:
    late, early = Worker(shared), Worker(shared)
    early.sees(good("new"), 9)
    early.looks()
    late.sees(good("old"), 5)
    late.looks()
    for worker in (late, early):
        worker.sees(BROKEN, 10)
        worker.looks()
    assert late.looks() == early.looks() == ["new"]


def test_while_the_store_is_down_each_goes_on_with_what_it_knows(shared: Shared) -> None:
    old, fresh = Worker(shared), Worker(shared)
    old.sees(good("a"), 5)
    old.looks()
    shared.down = True
    old.sees(BROKEN, 6)
    fresh.sees(BROKEN, 6)
    assert (old.looks(), fresh.looks()) == (["a"], [])
    assert fresh.catalog.complete, "nobody knows when it comes back"
    shared.down = False
    assert fresh.looks() == ["a"]


def test_what_was_good_while_the_store_was_down_is_kept_afterwards(shared: Shared) -> None:
    worker = Worker(shared)
    shared.down = True
    worker.sees(good("a"), 5)
    worker.looks()
    shared.down = False
    worker.looks()
    fresh = Worker(shared)
    fresh.sees(BROKEN, 6)
    assert fresh.looks() == ["a"]


def test_a_deleted_registry_is_empty_and_does_not_come_back_from_the_store(shared: Shared) -> None:
    worker = Worker(shared)
    worker.sees(good("a"), 5)
    worker.looks()
    worker.maps.delete(PLACE)
    assert worker.ids() == []
    worker.looks()
    assert shared.held == {}
    fresh = Worker(shared)
    for one in (worker, fresh):
        one.sees(BROKEN, 8, uid="u2")
        assert one.looks() == []


def test_a_late_deletion_leaves_what_was_created_since(shared: Shared) -> None:
    late, early = Worker(shared), Worker(shared)
    late.sees(good("a"), 5)
    late.looks()
    early.sees(good("b"), 9, uid="u2")
    early.looks()
    late.maps.delete(PLACE)
    late.looks()
    early.sees(BROKEN, 10, uid="u2")
    fresh = Worker(shared)
    fresh.sees(BROKEN, 10, uid="u2")
    assert fresh.looks() == early.looks() == ["b"]


def test_a_new_cluster_on_the_same_database_counts_from_the_beginning_again(shared: Shared) -> None:
    before = Worker(shared)
    before.sees(good("old"), 9000)
    before.looks()
    now = Worker(shared)
    now.sees(good("new"), 5, uid="u2")
    now.looks()
    now.sees(BROKEN, 6, uid="u2")
    fresh = Worker(shared)
    fresh.sees(BROKEN, 6, uid="u2")
    assert fresh.looks() == now.looks() == ["new"]


def test_it_is_said_that_an_older_document_is_in_force_until_it_is_not(shared: Shared) -> None:
    worker = Worker(shared)
    worker.sees(good("a"), 5)
    worker.looks()
    assert "outdated_registries" not in worker.catalog.report()[1]
    worker.sees(BROKEN, 6)
    worker.looks()
    report = worker.catalog.report()[1]
    (said,) = report["outdated_registries"]
    assert said["in_force"] == "resourceVersion 5"
    assert "is not YAML" in said["problem"]
    (source,) = report["sources"]
    assert source["state"] == "stale", "the newest state cannot be used"
    assert "is not YAML" in source["detail"]
    worker.sees(good("c"), 7)
    report = worker.catalog.report()[1]
    assert "outdated_registries" not in report
    assert report["sources"][0]["state"] == "live"


def test_the_gauges_say_so_too(shared: Shared) -> None:
    worker = Worker(shared)
    gauges.connect(worker.catalog, [worker.feed])

    def read() -> tuple[float, float]:
        return metrics.registry_outdated.labels().value, metrics.watch_stale.labels("configmaps").value

    worker.sees(good("a"), 5)
    assert read() == (0, 0)
    worker.sees(BROKEN, 6)
    assert read() == (1, 1)
