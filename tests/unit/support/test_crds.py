"""The judge of custom resources is strict: a manifest that an API server would refuse or cut does not pass."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import crds


def route(**spec: Any) -> dict[str, Any]:
    backend = {"name": "maas-api", "port": 8443}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "r", "namespace": "n"},
        "spec": {"rules": [{"backendRefs": [backend]}], **spec},
    }


def path(value: str) -> dict[str, Any]:
    return {"rules": [{"matches": [{"path": {"type": "PathPrefix", "value": value}}]}]}


CASES = {
    "good": (route(), []),
    "unknown field": (
        route(ruels=[]),
        ["$.spec: Additional properties are not allowed ('ruels' was unexpected)"],
    ),
    "wrong type": (route(hostnames="a.example"), ["$.spec.hostnames: 'a.example' is not of type 'array'"]),
    "a rule of the definition, with a default filled in": (
        route(rules=[{"backendRefs": [{"name": "maas-api"}]}]),
        ["$.spec.rules[0].backendRefs[0]: Must have port for Service reference"],
    ),
    "a rule about text": (
        route(**path("/a//b")),
        ["$.spec.rules[0].matches[0].path: must not contain '//' when type one of ['Exact', 'PathPrefix']"],
    ),
}


@pytest.mark.parametrize(("manifest", "expected"), CASES.values(), ids=CASES.keys())
def test_a_manifest_is_judged_as_the_api_server_would(manifest: dict[str, Any], expected: list[str]) -> None:
    assert crds.errors(manifest) == expected


def test_a_name_that_kubernetes_would_refuse_is_refused() -> None:
    manifest = route()
    manifest["metadata"]["name"] = "Not_A_Name"
    assert [complaint.partition(":")[0] for complaint in crds.errors(manifest)] == ["$.metadata.name"]


def test_a_kind_without_a_definition_is_not_waved_through() -> None:
    manifest = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Nonsense", "metadata": {"name": "x"}}
    assert not crds.knows(manifest)
    with pytest.raises(KeyError):
        crds.errors(manifest)
