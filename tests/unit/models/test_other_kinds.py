"""InferenceServices and MaaSModelRefs as entries, and the shipped examples as what an API server would take."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from maas_api.kube.manifests import parse
from maas_api.models.model import Mapped, ModelEntry, Omission
from maas_api.models.sources import inferenceservice, maasmodelref
from tests.support import crds
from tests.support.objects import CREATED, CREATED_UNIX

EXAMPLES = Path(__file__).parents[3] / "examples" / "manifests"

READY = {"type": "Ready", "status": "True"}


def isvc(status: Mapping[str, Any], **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "sklearn", "namespace": "ds", "creationTimestamp": CREATED} | metadata,
        "spec": {"predictor": {}},
        "status": dict(status),
    }


def test_an_inference_service_is_listed_by_its_name() -> None:
    obj = isvc({"url": "http://sklearn.example.com", "conditions": [{"type": "Stopped", "status": "False"}, READY]})
    assert inferenceservice.to_entry(obj) == Mapped(
        entries=(
            ModelEntry(
                id="sklearn",
                created=CREATED_UNIX,
                owned_by="ds",
                ready=True,
                source="inferenceservices",
                origin="ds/sklearn",
                url="http://sklearn.example.com",
                namespace="ds",
            ),
        )
    )


# (what it says, status, metadata, URL, why it is not ready)
ISVC: list[tuple[str, dict[str, Any], dict[str, Any], str, str]] = [
    ("address when there is no url", {"address": {"url": "http://in"}, "conditions": [READY]}, {}, "http://in", ""),
    ("no conditions", {"url": "http://x"}, {}, "http://x", "no condition Ready yet"),
    (
        "not ready",
        {"url": "http://x", "conditions": [{"type": "Ready", "status": "False", "reason": "Failed"}]},
        {},
        "http://x",
        "condition Ready is False (Failed)",
    ),
    (
        "being deleted",
        {"url": "http://x", "conditions": [READY]},
        {"deletionTimestamp": CREATED},
        "http://x",
        "being deleted",
    ),
]


@pytest.mark.parametrize(("status", "metadata", "url", "why"), [c[1:] for c in ISVC], ids=[c[0] for c in ISVC])
def test_an_inference_services_state(status: dict[str, Any], metadata: dict[str, Any], url: str, why: str) -> None:
    entry = inferenceservice.to_entry(isvc(status, **metadata)).entries[0]
    assert (entry.url, entry.ready, entry.unready) == (url, not why, why)


def test_an_inference_service_without_an_address_is_left_out() -> None:
    reason = "no address: status has no url or address"
    assert inferenceservice.to_entry(isvc({})).omissions == (Omission("inferenceservices", "ds/sklearn", reason),)


def ref(kind: str | None = "LLMInferenceService", **status: Any) -> dict[str, Any]:
    target: dict[str, Any] = {"name": "target"}
    if kind is not None:
        target["kind"] = kind
    return {
        "apiVersion": "maas.opendatahub.io/v1alpha1",
        "kind": "MaaSModelRef",
        "metadata": {"name": "opt", "namespace": "llm", "creationTimestamp": CREATED},
        "spec": {"modelRef": target},
        "status": {"phase": "Ready"} | status,
    }


ALIAS = "publishers/llm/models/opt"
HOSTS = {"httpRouteHostnames": ["maas.example.com", "other.example.com"]}

# (what it says, the object, id, URL, kind)
REFS: list[tuple[str, dict[str, Any], str, str, str]] = [
    ("its own name", ref(), "opt", "", "LLMInferenceService"),
    ("the resolved alias", ref(resolvedModelAlias=ALIAS), ALIAS, "", "LLMInferenceService"),
    ("an external model's name", ref("ExternalModel", resolvedModelAlias=ALIAS), "target", "", "ExternalModel"),
    ("the first host", ref(**HOSTS, endpoint="https://e/"), "opt", "https://maas.example.com", "LLMInferenceService"),
    ("the endpoint", ref(endpoint="https://e/", httpRouteHostnames=[]), "opt", "https://e/", "LLMInferenceService"),
]


@pytest.mark.parametrize(("obj", "identifier", "url", "kind"), [c[1:] for c in REFS], ids=[c[0] for c in REFS])
def test_a_model_reference_is_listed(obj: dict[str, Any], identifier: str, url: str, kind: str) -> None:
    entry = maasmodelref.to_entry(obj).entries[0]
    assert (entry.id, entry.url, entry.kind) == (identifier, url, kind)
    assert (entry.owned_by, entry.created, entry.ready) == ("llm/opt", CREATED_UNIX, True)


def test_a_model_reference_without_a_kind_means_the_first_one_there_was() -> None:
    assert maasmodelref.to_entry(ref(None)).entries[0].kind == "llmisvc"


@pytest.mark.parametrize(
    ("obj", "reason"),
    [
        (ref(phase="Pending"), "not ready: status.phase is Pending"),
        (ref(phase=""), "not ready: status.phase is not set"),
        (ref("Service"), "spec.modelRef.kind Service is not one of llmisvc, LLMInferenceService, ExternalModel"),
    ],
)
def test_a_model_reference_that_is_left_out_says_why(obj: dict[str, Any], reason: str) -> None:
    assert maasmodelref.to_entry(obj).omissions == (Omission("maasmodelrefs", "llm/opt", reason),)


@pytest.mark.parametrize("odd", [{}, {"metadata": None}, {"spec": [], "status": 4, "metadata": {"name": 1}}])
def test_an_object_of_any_shape_is_never_a_crash(odd: dict[str, Any]) -> None:
    assert maasmodelref.to_entry(odd).omissions
    assert inferenceservice.to_entry(odd).omissions


def test_every_fixture_is_one_the_api_server_would_take() -> None:
    for obj in [case[1] for case in REFS] + [isvc(status, **metadata) for _, status, metadata, _, _ in ISVC]:
        assert crds.errors(obj) == [], obj


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.yaml")), ids=lambda file: str(file.name))
def test_the_examples_are_what_the_api_server_would_take(file: Path) -> None:
    for obj in parse(file.read_text(), str(file)):
        if crds.knows(obj):
            assert crds.errors(dict(obj)) == []
        else:
            assert obj["kind"] == "ConfigMap"
