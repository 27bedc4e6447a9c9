"""Stores: what counts as a change, and who hears of it."""

from __future__ import annotations

from typing import Any

import pytest

from maas_api.kube.manifests import parse
from maas_api.kube.objects import CONFIG_MAP, LLM_INFERENCE_SERVICE, Changed, ObjectStore, key_of


def thing(name: str, version: str = "1", uid: str = "u", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "n", "name": name, "resourceVersion": version, "uid": uid}, "spec": spec}


@pytest.fixture
def store() -> ObjectStore:
    return ObjectStore(CONFIG_MAP)


@pytest.fixture
def heard(store: ObjectStore) -> list[Changed]:
    calls: list[Changed] = []
    store.subscribe(calls.append)
    return calls


def keys(*names: str) -> Changed:
    return frozenset(("n", name) for name in names)


def test_replacing_everything_announces_only_what_differs(store: ObjectStore, heard: list[Changed]) -> None:
    store.replace([thing("a"), thing("b"), thing("c")])
    store.replace([thing("a"), thing("b", "2"), thing("d")])
    assert heard == [keys("a", "b", "c"), keys("b", "c", "d")]
    assert sorted(name for _, name in store.snapshot()) == ["a", "b", "d"]
    store.replace([thing("a"), thing("b", "2"), thing("d")])
    assert len(heard) == 2


def test_a_recreated_object_is_a_change_even_at_the_same_version(store: ObjectStore, heard: list[Changed]) -> None:
    store.upsert(thing("a", uid="old"))
    store.upsert(thing("a", uid="new"))
    assert heard == [keys("a"), keys("a")]


def test_single_changes_are_announced_once(store: ObjectStore, heard: list[Changed]) -> None:
    store.upsert(thing("a"))
    store.upsert(thing("a"))
    store.delete(("n", "a"))
    store.delete(("n", "a"))
    assert heard == [keys("a"), keys("a")]
    assert len(store) == 0


def test_an_object_that_moved_in_its_file_is_a_change(store: ObjectStore, heard: list[Changed]) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: n}\n"
    store.replace(parse(text, "f.yaml"))
    store.replace(parse(text, "f.yaml"))
    store.replace(parse("# moved\n" + text, "f.yaml"))
    assert heard == [keys("a"), keys("a")]


def test_a_snapshot_is_not_touched_by_later_changes(store: ObjectStore) -> None:
    store.upsert(thing("a"))
    before = store.snapshot()
    store.upsert(thing("a", "2"))
    store.upsert(thing("b"))
    assert [obj["metadata"]["resourceVersion"] for obj in before.values()] == ["1"]
    assert store.get(("n", "a")) == thing("a", "2")


def test_a_kind_is_recognised_in_every_version_of_its_group() -> None:
    assert LLM_INFERENCE_SERVICE.matches("serving.kserve.io/v1alpha1", "LLMInferenceService")
    assert LLM_INFERENCE_SERVICE.matches("serving.kserve.io/v9", "LLMInferenceService")
    assert not LLM_INFERENCE_SERVICE.matches("example.com/v1alpha1", "LLMInferenceService")
    assert CONFIG_MAP.matches("v1", "ConfigMap")
    assert key_of({}) == ("", "")
