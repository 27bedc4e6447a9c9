"""Which requests the rendered routes let through, and to whom."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import yaml

from maas_api.access.opened import parse
from maas_api.gateway.manifests import OptionError, Options, Target, render, to_yaml
from maas_api.providers import provider
from tests.support.kubernetes import complaints
from tests.support.manifests import OPTIONS, TARGETS, of_kind, rendered

ONE_URL = {
    "kuadrant": dataclasses.replace(OPTIONS["kuadrant"], one_url=True),
    "istio": dataclasses.replace(OPTIONS["istio"], one_url=True),
}


@pytest.mark.parametrize(("options", "which"), list(itertools.product(OPTIONS, TARGETS)))
def test_only_what_runs_one_model_is_routed_to_a_provider(options: str, which: str) -> None:
    """By method and path; a path with the model in it by what stands before it, and the authorizer judges the rest."""
    found = TARGETS[which].provider
    route = of_kind(rendered(options, which), "HTTPRoute")
    matches = [match for rule in route["spec"]["rules"] for match in rule["matches"]]
    assert len(route["spec"]["rules"]) <= 16
    assert {match["method"] for match in matches} == {"POST"}
    for match in matches:
        path = match["path"]["value"].removeprefix(found.path_prefix)
        if match["path"]["type"] == "Exact":
            assert found.model_at(path) == ""
        else:
            assert any(known.startswith(f"{path}/{{model}}") for known in found.model_paths)
    for rule in route["spec"]["rules"]:
        (rewrite,) = (item["urlRewrite"] for item in rule["filters"] if "urlRewrite" in item)
        to = rewrite["path"].get("replaceFullPath") or rewrite["path"]["replacePrefixMatch"]
        assert to == found.base_path + rule["matches"][0]["path"]["value"].removeprefix(found.path_prefix)


def test_a_providers_list_of_models_leads_to_the_service_beside_it() -> None:
    for options, service, namespace, port in (
        (OPTIONS["kuadrant"], "maas-api", "opendatahub", 8443),
        (OPTIONS["kuadrant-strict"], "maas-api", "maas-api", 8443),
        (dataclasses.replace(OPTIONS["istio"], service="api.models.svc.cluster.local", port=80), "api", "models", 80),
    ):
        items = render(options, [TARGETS["openai"]])
        route = next(item for item in items if item["metadata"]["name"] == "openai-models")
        assert route["metadata"]["namespace"] == namespace
        for rule, method in zip(route["spec"]["rules"], ("GET", "HEAD"), strict=True):
            path = {"type": "PathPrefix", "value": "/external/openai/v1/models"}
            assert rule["matches"] == [{"method": method, "path": path}]
            assert [(one["name"], one["port"]) for one in rule["backendRefs"]] == [(service, port)]
            modifier = next(one["requestHeaderModifier"] for one in rule["filters"] if "requestHeaderModifier" in one)
            assert modifier["set"] == [{"name": "x-maas-provider", "value": "openai"}]


@pytest.mark.parametrize("mode", ONE_URL)
def test_one_url_is_the_same_few_resources_for_any_number_of_providers(mode: str) -> None:
    few, many = ([Target(provider=provider(f"p{n}", host=f"p{n}.example.com")) for n in range(n)] for n in (1, 40))
    added = []
    for targets in (few, many):
        without = to_yaml(render(OPTIONS[mode], targets)).split("---\n")
        added.append([item for item in to_yaml(render(ONE_URL[mode], targets)).split("---\n") if item not in without])
    assert added[0] == added[1]
    kinds = [yaml.safe_load(item)["kind"] for item in added[0]]
    policies = ["AuthPolicy", "TokenRateLimitPolicy"] if mode == "kuadrant" else ["AuthorizationPolicy"]
    assert kinds == [*policies, "EnvoyFilter", "HTTPRoute"]


@pytest.mark.parametrize(("mode", "which"), list(itertools.product(ONE_URL, TARGETS)))
def test_one_urls_resources_are_what_an_api_server_takes(mode: str, which: str) -> None:
    options = ONE_URL[mode]
    assert [fault for item in render(options, [TARGETS[which]]) for fault in complaints(item)] == []


def test_what_an_operator_opens_is_routed_too() -> None:
    opened = parse(["openai:GET /v1/files*", "openai:POST /v1/files", "anthropic:POST /v1/messages/batches"])
    items = render(dataclasses.replace(Options(), open_paths=opened), [TARGETS["openai"], TARGETS["anthropic"]])
    found = {
        (item["metadata"]["name"], match["method"], match["path"]["type"], match["path"]["value"])
        for item in items
        if item["kind"] == "HTTPRoute"
        for rule in item["spec"]["rules"]
        for match in rule["matches"]
    }
    assert {
        ("openai-bridge", "GET", "PathPrefix", "/external/openai/v1/files"),
        ("openai-bridge", "POST", "Exact", "/external/openai/v1/files"),
        ("anthropic-bridge", "POST", "Exact", "/external/anthropic/v1/messages/batches"),
    } <= found
    many = parse([f"openai:GET /v1/{number}" for number in range(10)])
    with pytest.raises(OptionError, match="openai has 17 rules, and a route holds 16"):
        render(dataclasses.replace(Options(), open_paths=many), [TARGETS["openai"]])
    with pytest.raises(OptionError, match="of a provider that is not rendered"):
        render(dataclasses.replace(Options(), open_paths=opened), [TARGETS["openai"]])
