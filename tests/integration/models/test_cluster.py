"""The service over a cluster: from an object's change to ``GET /v1/models``, and through an outage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from maas_api.app import build
from maas_api.config import ConfigError, load
from maas_api.kube.objects import (
    CONFIG_MAP,
    INFERENCE_SERVICE,
    LLM_INFERENCE_SERVICE,
    MAAS_AUTH_POLICY,
    MAAS_MODEL_REF,
    MAAS_SUBSCRIPTION,
)
from maas_api.models.sources.kserve import managed_labels
from tests.support import kubeapi
from tests.support.kubeapi import Fault, KubeApi
from tests.support.objects import registry, route, service
from tests.support.serving import serving
from tests.support.wait import until

CALLER = {"X-MaaS-Username": "alice", "X-MaaS-Group": '["ml"]', "Authorization": "Bearer checked-by-the-gateway"}


@pytest.fixture
def api() -> Iterator[KubeApi]:
    found = KubeApi()
    with kubeapi.running(found):
        yield found


def kubeconfig(api: KubeApi, folder: Path, **user: Any) -> Path:
    file = folder / "kubeconfig"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {"server": api.url}}],
        "users": [{"name": "test", "user": user}],
    }
    file.write_text(yaml.safe_dump(document))
    return file


@contextmanager
def running(api: KubeApi, tmp_path: Path, **flags: str) -> Iterator[httpx.Client]:
    flags = {"kubeconfig": str(kubeconfig(api, tmp_path)), "sqlite_path": str(tmp_path / "keys.db")} | flags
    with serving(build(load(flags, {}))) as base, httpx.Client(base_url=base, headers=CALLER) as client:
        yield client


def ids(client: httpx.Client) -> list[str]:
    answer = client.get("/v1/models")
    return [entry["id"] for entry in answer.json()["data"]] if answer.status_code == 200 else []


def ready(client: httpx.Client) -> bool:
    return client.get("/readyz").status_code == 200


def source(client: httpx.Client, name: str) -> dict[str, Any]:
    sources: list[dict[str, Any]] = client.get("/readyz").json()["checks"]["models"]["sources"]
    return next(item for item in sources if item["name"] == name)


def test_changes_in_the_cluster_are_changes_of_the_listing(api: KubeApi, tmp_path: Path) -> None:
    api.put("llminferenceservices", service("one", model="m1"))
    api.put("configmaps", registry("[{id: gpt, provider: openai}]"))
    with running(api, tmp_path) as client:
        until(lambda: ready(client), what="everything is read")
        assert ids(client) == ["gpt", "m1"]
        api.put("llminferenceservices", service("two", model="m2", router={"route": {"http": {}}}))
        api.put("httproutes", route("two-route", labels=managed_labels("two")))
        until(lambda: ids(client) == ["gpt", "m1", "m2"], what="the route made it a member")
        api.put("configmaps", registry("[{id: gpt, provider: openai}, {id: claude, provider: anthropic}]"))
        until(lambda: ids(client) == ["claude", "gpt", "m1", "m2"], what="the registry's edit")
        api.delete("llminferenceservices", "llm", "one")
        until(lambda: ids(client) == ["claude", "gpt", "m2"], what="the deletion")


def test_it_is_not_ready_and_lists_nothing_before_everything_was_read(api: KubeApi, tmp_path: Path) -> None:
    api.put("configmaps", registry("[{id: gpt, provider: openai}]"))
    api.inject(*[Fault("list", "configmaps", status=403) for _ in range(1000)])
    with running(api, tmp_path) as client:
        until(lambda: source(client, "llminferenceservices")["state"] == "live", what="the other kinds are read")
        assert not ready(client)
        answer = client.get("/v1/models")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.json()["error"]["code"] == "catalog_not_ready"
        assert "403" in source(client, "configmaps")["detail"]
        api.faults.clear()
        until(lambda: ids(client) == ["gpt"], what="the registry is readable at last", seconds=40)


def test_an_outage_keeps_the_list_and_a_registry_edit_during_it_shows_afterwards(api: KubeApi, tmp_path: Path) -> None:
    api.put("llminferenceservices", service("one", model="m1"))
    api.put("configmaps", registry("[{id: gpt, provider: openai}]"))
    with running(api, tmp_path) as client:
        until(lambda: ready(client), what="everything is read")
        api.inject(*[Fault(verb, status=503) for verb in ("watch", "list") for _ in range(1000)])
        api.cut_watches()
        api.put("configmaps", registry("[{id: gpt-5, provider: openai}]"))
        api.compact()
        until(lambda: "503" in source(client, "configmaps").get("detail", ""), what="the outage is noticed")
        assert source(client, "configmaps")["state"] == "stale"
        assert ids(client) == ["gpt", "m1"]
        assert ready(client), "losing the cluster later does not make it unready"
        api.faults.clear()
        until(lambda: ids(client) == ["gpt-5", "m1"], what="the edit made during the outage", seconds=40)
        until(lambda: source(client, "configmaps")["state"] == "live", what="in touch again")


def test_kinds_are_read_as_switched(api: KubeApi, tmp_path: Path) -> None:
    api.serve(LLM_INFERENCE_SERVICE)
    api.put("configmaps", registry("[{id: gpt, provider: openai}]"))
    api.put(
        "inferenceservices",
        {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {"name": "sklearn", "namespace": "ds"},
            "status": {"url": "http://sklearn", "conditions": [{"type": "Ready", "status": "True"}]},
        },
    )
    flags = {"source_inferenceservices": "auto", "source_registry": "off", "source_subscriptions": "off"}
    with running(api, tmp_path, **flags) as client:
        until(lambda: ids(client) == ["sklearn"], what="only what is switched on")
        assert source(client, "llminferenceservices")["state"] == "absent"
    asked = {verb.partition(" ")[2] for verb, _ in api.queries}
    assert asked == {"inferenceservices", "httproutes"}
    assert CONFIG_MAP.plural not in asked
    assert {MAAS_MODEL_REF.plural, MAAS_SUBSCRIPTION.plural, MAAS_AUTH_POLICY.plural}.isdisjoint(asked)


def test_a_kind_that_is_switched_on_must_exist(api: KubeApi, tmp_path: Path) -> None:
    api.serve(LLM_INFERENCE_SERVICE)
    with running(api, tmp_path, source_llminferenceservices="on") as client:
        until(lambda: "switched on" in source(client, "llminferenceservices")["detail"], what="the absence is said")
        assert not ready(client)
    assert INFERENCE_SERVICE.plural not in {verb.partition(" ")[2] for verb, _ in api.queries}


def test_a_namespace_is_shown_to_those_the_cluster_lets_in(api: KubeApi, tmp_path: Path) -> None:
    def review(body: dict[str, Any]) -> dict[str, Any]:
        spec = body["spec"]
        assert spec["resourceAttributes"] == {
            "namespace": spec["resourceAttributes"]["namespace"],
            "verb": "get",
            "group": "serving.kserve.io",
            "resource": "llminferenceservices",
        }
        return {"status": {"allowed": spec["user"] == "alice" and spec["resourceAttributes"]["namespace"] == "open"}}

    api.answers["subjectaccessreviews"] = review
    api.put("llminferenceservices", service("one", "open", model="m1"))
    api.put("llminferenceservices", service("two", "closed", model="m2"))
    api.put("configmaps", registry("[{id: gpt, provider: openai}]"))
    with running(api, tmp_path, namespace_access_check="true") as client:
        until(lambda: ids(client) == ["gpt", "m1"], what="what alice may see is known")
        assert client.get("/v1/models/m2").status_code == 404
        mallory = {"X-MaaS-Username": "mallory"}
        asked = api.requests["post subjectaccessreviews"]
        assert [item["id"] for item in client.get("/v1/models", headers=mallory).json()["data"]] == ["gpt"]
        until(lambda: api.requests["post subjectaccessreviews"] == asked + 2, what="both namespaces were asked")
        assert [item["id"] for item in client.get("/v1/models", headers=mallory).json()["data"]] == ["gpt"]


def test_a_namespace_check_without_a_cluster_is_refused_at_start(tmp_path: Path) -> None:
    flags = {"namespace_access_check": "true", "kubernetes": "off", "sqlite_path": str(tmp_path / "keys.db")}
    with pytest.raises(ConfigError, match="--namespace-access-check"):
        build(load(flags, {}))


def test_model_references_are_listed_by_their_resolved_names(api: KubeApi, tmp_path: Path) -> None:
    def ref(name: str, kind: str, phase: str, **status: Any) -> dict[str, Any]:
        return {
            "apiVersion": "maas.opendatahub.io/v1alpha1",
            "kind": "MaaSModelRef",
            "metadata": {"name": name, "namespace": "llm"},
            "spec": {"modelRef": {"kind": kind, "name": f"{name}-target"}},
            "status": {"phase": phase, **status},
        }

    api.put("maasmodelrefs", ref("a", "LLMInferenceService", "Ready", resolvedModelAlias="publishers/llm/models/a"))
    api.put("maasmodelrefs", ref("b", "ExternalModel", "Ready", httpRouteHostnames=["maas.example.com"]))
    api.put("maasmodelrefs", ref("c", "LLMInferenceService", "Pending"))
    with running(api, tmp_path, source_maasmodelrefs="auto", source_subscriptions="off") as client:
        until(lambda: len(ids(client)) == 2, what="the ready references")
        data = {entry["id"]: entry for entry in client.get("/v1/models").json()["data"]}
    assert set(data) == {"b-target", "publishers/llm/models/a"}
    assert data["b-target"]["url"] == "https://maas.example.com"
    assert (data["b-target"]["owned_by"], data["b-target"]["kind"]) == ("llm/b", "ExternalModel")


def test_a_rotated_token_file_is_read_again(api: KubeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from maas_api.kube import client as kube_client
    from maas_api.kube import credentials

    token = tmp_path / "token"
    token.write_text("first\n")
    monkeypatch.setattr(credentials, "TOKEN_FILE_SECONDS", 0.0)
    found = kube_client.connect(kubeconfig(api, tmp_path, tokenFile="token"))
    found.get("/apis/serving.kserve.io")
    token.write_text("second\n")
    found.get("/apis/serving.kserve.io")
    assert api.authorizations == ["Bearer first", "Bearer second"]
