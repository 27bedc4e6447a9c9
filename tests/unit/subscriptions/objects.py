"""Raw objects as a cluster holds them, small and complete."""

from __future__ import annotations

from typing import Any

NAMESPACE = "models-as-a-service"


def reference(model: str, *limits: int, namespace: str = "llm", rate: str | None = None) -> dict[str, Any]:
    """One entry of spec.modelRefs; without limits given, one of 100 tokens a minute."""
    entry: dict[str, Any] = {
        "name": model,
        "namespace": namespace,
        "tokenRateLimits": [{"limit": limit, "window": "1m"} for limit in limits or (100,)],
    }
    return entry | ({"billingRate": {"perToken": rate}} if rate else {})


def subscription(
    name: str,
    *,
    namespace: str = NAMESPACE,
    users: tuple[str, ...] = (),
    groups: tuple[str, ...] = (),
    priority: int | None = None,
    models: list[dict[str, Any]] | None = None,
    phase: str = "Active",
    deleting: bool = False,
    enforced: dict[str, bool] | None = None,
    annotations: dict[str, str] | None = None,
    billing: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """A MaaSSubscription."""
    metadata: dict[str, Any] = {"name": name, "namespace": namespace}
    if annotations:
        metadata["annotations"] = annotations
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    spec: dict[str, Any] = {
        "owner": {"users": list(users), "groups": [{"name": group} for group in groups]},
        "modelRefs": models if models is not None else [reference("opt")],
    }
    if priority is not None:
        spec["priority"] = priority
    if billing is not None:
        spec["tokenMetadata"] = billing
    status: dict[str, Any] = {}
    if phase:
        status["phase"] = phase
        ready = {"Active": "True", "Degraded": "False"}.get(phase, "False")
        status["conditions"] = [
            {
                "type": "Ready",
                "status": ready,
                "reason": "Reconciled",
                "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
        ]
    if enforced is not None:
        status["tokenRateLimitStatuses"] = [
            {"model": model, "name": f"{model}-trlp", "namespace": "llm", "ready": ready}
            for model, ready in enforced.items()
        ]
    return {
        "apiVersion": "maas.opendatahub.io/v1alpha1",
        "kind": "MaaSSubscription",
        "metadata": metadata,
        "spec": spec,
        "status": status,
    }


def policy(
    name: str,
    *models: str,
    users: tuple[str, ...] = (),
    groups: tuple[str, ...] = (),
    namespace: str = NAMESPACE,
) -> dict[str, Any]:
    """A MaaSAuthPolicy over models of the namespace ``llm``, or ``namespace/name``."""
    keys = [model.rpartition("/")[::2] for model in models]
    return {
        "apiVersion": "maas.opendatahub.io/v1alpha1",
        "kind": "MaaSAuthPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "modelRefs": [{"namespace": place or "llm", "name": model} for place, model in keys],
            "subjects": {"users": list(users), "groups": [{"name": group} for group in groups]},
        },
    }


def model_ref(
    name: str, *, kind: str = "LLMInferenceService", target: str = "backend", alias: str = "", title: str = ""
) -> dict[str, Any]:
    """A MaaSModelRef in the namespace ``llm``."""
    metadata: dict[str, Any] = {"name": name, "namespace": "llm"}
    if title:
        metadata["annotations"] = {"openshift.io/display-name": title, "openshift.io/description": f"About {title}"}
    status = {"phase": "Ready"} | ({"resolvedModelAlias": alias} if alias else {})
    return {
        "apiVersion": "maas.opendatahub.io/v1alpha1",
        "kind": "MaaSModelRef",
        "metadata": metadata,
        "spec": {"modelRef": {"kind": kind, "name": target}},
        "status": status,
    }
