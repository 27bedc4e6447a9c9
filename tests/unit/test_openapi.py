"""The published contract is itself valid, and speaks of every route that exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from openapi_spec_validator import validate

from maas_api.app import build
from maas_api.config import load

SPEC_FILE = Path(__file__).parents[2] / "openapi.yaml"
KUBECONFIG = """\
current-context: nowhere
contexts: [{name: nowhere, context: {cluster: nowhere}}]
clusters: [{name: nowhere, cluster: {server: "http://127.0.0.1:1"}}]
"""


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    return yaml.safe_load(SPEC_FILE.read_text())


def test_the_document_is_valid_openapi(spec: dict[str, Any]) -> None:
    validate(spec)


def test_whatever_a_union_is_of_has_a_name(spec: dict[str, Any]) -> None:
    """Generators call a type by its title or by where it is defined, and else by a number."""

    def unnamed(node: Any, where: str) -> Iterator[str]:
        if isinstance(node, dict):
            members = [one for union in ("oneOf", "anyOf") for one in node.get(union, ())]
            yield from (where for one in members if not ({"$ref", "title"} & one.keys() or one == {"type": "null"}))
        for key, value in node.items() if isinstance(node, dict) else enumerate(node if isinstance(node, list) else ()):
            yield from unnamed(value, f"{where}/{key}")

    assert list(unnamed(spec, "")) == []


def test_every_body_has_an_example_that_obeys_its_schema(spec: dict[str, Any]) -> None:
    """Redocly's linter says so too, where there is Node."""
    bodies = {}
    for path, item in spec["paths"].items():
        for method in item.keys() & {"get", "post", "put", "delete"}:
            for what in (item[method].get("requestBody"), *item[method]["responses"].values()):
                for kind, media in (what or {}).get("content", {}).items():
                    bodies[f"{method} {path} {what.get('description', 'request')} {kind}"] = media
    for name, what in spec["components"]["responses"].items():
        bodies |= {f"{name} {kind}": media for kind, media in what["content"].items()}
    bodies = {name: media for name, media in bodies.items() if name.endswith("application/json")}
    assert len(bodies) > 40
    assert [name for name, media in bodies.items() if "example" not in media] == []
    for media in bodies.values():
        schema = {**media["schema"], "components": spec["components"]}
        jsonschema.Draft202012Validator(schema).validate(media["example"])


def test_identity_is_a_security_scheme_and_no_parameter(spec: dict[str, Any]) -> None:
    """What the gateway sets is not for clients to fill in."""
    assert "X-MaaS-Username" not in str(spec["paths"])
    assert spec["security"] == [{"bearer": []}, {"username": [], "groups": []}]
    for path, item in spec["paths"].items():
        for method in item.keys() & {"get", "post", "put", "delete"}:
            asked = item[method].get("security", spec["security"])
            if path.startswith("/internal/"):
                assert {"secret": []} in asked, path
            elif path.startswith("/v1/"):
                assert {"bearer": []} in asked, path
            else:
                assert asked == [], path


def test_every_route_is_documented_and_every_documented_route_exists(spec: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    flags = {
        "sqlite_path": str(tmp_path / "keys.db"),
        "manifests": str(tmp_path),
        "kubernetes": "on",  # building connects to nothing
        "kubeconfig": str(tmp_path / "kubeconfig"),
        "tenants_endpoint": "true",
    }
    service = build(load(flags, {}))
    served = set()
    for rule in service.flask.url_map.iter_rules():
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        if path.startswith("/internal/v1/authz"):
            continue  # an authorization protocol that carries any path, not an API of its own
        if rule.endpoint.startswith(("page.", "reference.")):
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
