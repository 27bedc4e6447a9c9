"""The published contract is itself valid, and speaks of every route that exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from openapi_spec_validator import validate

from maas_api.app import build
from maas_api.config import load
from tests.support.kubeapi import KubeApi, kubeconfig

SPEC_FILE = Path(__file__).parents[2] / "openapi.yaml"


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    return yaml.safe_load(SPEC_FILE.read_text())


def test_the_document_is_valid_openapi(spec: dict[str, Any]) -> None:
    validate(spec)


def test_every_route_is_documented_and_every_documented_route_exists(spec: dict[str, Any], tmp_path: Path) -> None:
    flags = {
        "sqlite_path": str(tmp_path / "keys.db"),
        "manifests": str(tmp_path),
        "kubernetes": "on",  # building connects to nothing
        "kubeconfig": str(kubeconfig(KubeApi(), tmp_path)),
        "tenants_endpoint": "true",
    }
    service = build(load(flags, {}))
    served = set()
    for rule in service.flask.url_map.iter_rules():
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        if path.startswith("/internal/v1/authz"):
            continue  # an authorization protocol that carries any path, not an API of its own
        if rule.endpoint.startswith("page."):
            continue  # for people
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            served.add((method, re.sub(r"\{\w+\}", "{}", path)))
    documented = {
        (method.upper(), re.sub(r"\{\w+\}", "{}", path))
        for path, item in spec["paths"].items()
        for method in item
        if method in ("get", "post", "put", "patch", "delete")
    }
    prefixes = {path for method, path in served if path.startswith("/v1/models/")}
    served = {pair for pair in served if pair[1] not in prefixes}
    if prefixes:
        served.add(("GET", "/v1/models/{}"))
    assert served == documented
