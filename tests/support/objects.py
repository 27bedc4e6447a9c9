"""Kubernetes objects for tests: as short as a test wants them, as complete as the API server demands them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

GATEWAY = "maas-default-gateway"
GATEWAY_NAMESPACE = "openshift-ingress"
CREATED = "2026-03-15T04:00:00Z"
CREATED_UNIX = 1773547200

READY = ({"type": "Ready", "status": "True"}, {"type": "WorkloadsReady", "status": "True"})
ON_GATEWAY = {"gateway": {"refs": [{"name": GATEWAY, "namespace": GATEWAY_NAMESPACE}]}}


def service(
    name: str = "opt",
    namespace: str = "llm",
    *,
    model: str | None = "facebook/opt-125m",
    router: Mapping[str, Any] | None = ON_GATEWAY,
    url: str | None = "https://maas.example.com/llm/opt",
    address: Mapping[str, Any] | None = None,
    addresses: Sequence[Mapping[str, Any]] | None = None,
    conditions: Sequence[Mapping[str, Any]] = READY,
    generation: int | None = 1,
    observed: int | None = 1,
    adapters: Sequence[str] = (),
    metadata: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """An LLMInferenceService, ready and on the gateway unless told otherwise."""
    spec: dict[str, Any] = {"model": {"uri": "hf://facebook/opt-125m"}}
    if model is not None:
        spec["model"]["name"] = model
    if adapters:
        spec["model"]["lora"] = {"adapters": [{"name": item, "uri": f"hf://adapters/{item}"} for item in adapters]}
    if router is not None:
        spec["router"] = dict(router)
    status: dict[str, Any] = {"conditions": [dict(condition) for condition in conditions]}
    optional = {"url": url, "address": address, "addresses": addresses, "observedGeneration": observed}
    status |= {key: value for key, value in optional.items() if value is not None}
    meta: dict[str, Any] = {"name": name, "namespace": namespace, "creationTimestamp": CREATED}
    if generation is not None:
        meta["generation"] = generation
    return {
        "apiVersion": "serving.kserve.io/v1alpha2",
        "kind": "LLMInferenceService",
        "metadata": meta | dict(metadata or {}),
        "spec": spec,
        "status": status,
    }


def route(
    name: str = "opt-route",
    namespace: str = "llm",
    *,
    gateway: str = GATEWAY,
    gateway_namespace: str | None = GATEWAY_NAMESPACE,
    labels: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """An HTTPRoute with one parent."""
    parent = {"name": gateway} | ({"namespace": gateway_namespace} if gateway_namespace else {})
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(labels or {})},
        "spec": {"parentRefs": [parent]},
    }


def registry(models: str, *, name: str = "external-model-registry", namespace: str = "maas-api") -> dict[str, Any]:
    """The registry ConfigMap."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "creationTimestamp": CREATED},
        "data": {"models": models},
    }
