"""What clients reach through the gateway, and that nobody gets there unauthenticated."""

from __future__ import annotations

import json
import os

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from maas_api.cli import main
from maas_api.gateway import authorizer
from maas_api.gateway.envoy.routes import PROVIDER_HEADER, ROUTE_HEADER
from maas_api.gateway.manifests import Options, to_yaml
from maas_api.gateway.manifests.istio import body_reader
from maas_api.gateway.manifests.ownroute import own_auth_policy
from maas_api.identity import headers
from tests.support.httproute import upstream
from tests.support.kubernetes import PATCHES, find, objects

SERVING = ["openshift", "istio"]
ROUTES = {name: [item for item in objects(f"overlays/{name}") if item["kind"] == "HTTPRoute"] for name in SERVING}


@pytest.mark.parametrize("overlay", SERVING)
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/models", "/v1/models"),
        ("/v1/models/facebook/opt-125m", "/v1/models/facebook/opt-125m"),
        ("/v1/api-keys", "/v1/api-keys"),
        ("/v1/api-keys/search", "/v1/api-keys/search"),
        ("/v1/subscriptions", "/v1/subscriptions"),
        ("/maas-api/v1/api-keys", "/v1/api-keys"),
        ("/maas-api/v1/models/a/b", "/v1/models/a/b"),
        ("/maas-api/v1/model/opt/subscriptions", "/v1/model/opt/subscriptions"),
        ("/maas-api/ui", "/ui"),
        ("/maas-api/ui/keys", "/ui/keys"),
        ("/maas-api/docs", "/docs"),
        ("/maas-api/docs/openapi.json", "/docs/openapi.json"),
        ("/maas-api/health", "/health"),
        ("/internal/v1/api-keys/validate", None),
        ("/maas-api/internal/v1/api-keys/cleanup", None),
        ("/maas-api/internal", None),
        ("/maas-api", None),
        ("/maas-api/", None),
        ("/maas-api/healthz", None),
        ("/maas-api/readyz", None),
        ("/maas-api/health/x", None),
        ("/maas-api/v1x/internal", None),
        ("/maas-api/uix", None),
        ("/ui/keys", None),
        ("/docs/", None),
        ("/v1/modelsinternal", None),
        ("/metrics", None),
        ("/healthz", None),
        ("/", None),
    ],
)
def test_the_route_leads_exactly_where_it_should(overlay: str, path: str, expected: str | None) -> None:
    assert upstream(ROUTES[overlay], path) == expected


OPTIONS = Options(token_audiences=("https://kubernetes.default.svc", "maas-default-gateway-sa"), cache="off")
HEADER = """Generated from maas_api/gateway/manifests/ownroute.py; a test holds it to that.

Keys and platform tokens are checked by one callback. They pass on valid == true alone: a callback that failed, timed
out or answered anything else denies."""

SEGMENT = st.sampled_from(
    [
        "internal",
        "maas-api",
        "v1",
        "ui",
        "v1internal",
        "models",
        "api-keys",
        "health",
        "..",
        ".",
        "",
        "validate",
        "%2e%2e",
    ]
)


@given(st.lists(SEGMENT, max_size=7), st.sampled_from(SERVING))
def test_no_path_leads_to_internal(segments: list[str], overlay: str) -> None:
    """The gateway normalizes dots before it matches; what is left never starts with /internal."""
    reached = upstream(ROUTES[overlay], "/" + "/".join(segment for segment in segments if segment not in ("..", ".")))
    assert reached is None or reached in ("/health", "/v1", "/ui") or reached.startswith(("/v1/", "/ui/"))


def test_on_openshift_every_route_but_the_probe_is_under_a_policy() -> None:
    items = objects("overlays/openshift")
    policies = [item for item in items if item["kind"] == "AuthPolicy"]
    covered = {(item["metadata"]["namespace"], item["spec"]["targetRef"]["name"]) for item in policies}
    for route in ROUTES["openshift"]:
        place = (route["metadata"]["namespace"], route["metadata"]["name"])
        if place not in covered:
            (rule,) = route["spec"]["rules"]
            assert [match["path"] for match in rule["matches"]] == [{"type": "Exact", "value": "/maas-api/health"}]
    assert covered == {("opendatahub", "maas-api-route")}
    assert all("when" not in item["spec"] for item in policies), "a condition that fails would open the route"


def test_on_openshift_the_policy_is_the_rendered_one_and_asks_this_installation() -> None:
    """MAAS_UPDATE_GOLDEN=1 renders it anew."""
    path = PATCHES / "components/kuadrant/auth-policy.yaml"
    rendered = to_yaml([own_auth_policy(OPTIONS)], header=HEADER)
    if os.environ.get("MAAS_UPDATE_GOLDEN"):
        path.write_text(rendered)
    assert path.read_text() == rendered

    items = objects("overlays/openshift")
    policy = find(items, "AuthPolicy", "maas-api-auth-policy")
    service = find(items, "Service", "maas-api")["metadata"]
    url: str = policy["spec"]["rules"]["metadata"]["apiKeyValidation"]["http"]["url"]
    assert url.partition("?")[0] == (
        f"https://{service['name']}.{service['namespace']}.svc.cluster.local:8443/internal/v1/api-keys/validate"
    )


def test_with_istio_alone_the_gateway_asks_about_every_path_but_the_probe() -> None:
    items = objects("overlays/istio")
    policy = find(items, "AuthorizationPolicy", "maas-api-authz")
    (parent,) = {json.dumps(ref) for route in ROUTES["istio"] for ref in route["spec"]["parentRefs"]}
    parent = json.loads(parent)
    assert policy["metadata"]["namespace"] == parent["namespace"]
    assert [ref["name"] for ref in policy["spec"]["targetRefs"]] == [parent["name"]]
    assert find(items, "Gateway", parent["name"])["metadata"]["namespace"] == parent["namespace"]
    assert policy["spec"]["action"] == "CUSTOM"
    assert policy["spec"]["rules"] == [{"to": [{"operation": {"notPaths": ["/maas-api/health"]}}]}]


def test_with_istio_alone_the_mesh_asks_as_the_local_gateway_does() -> None:
    """The file has comments; apart from them it is what `maas-api gateway mesh-values` prints."""
    kept = yaml.safe_load((PATCHES / "overlays/istio/mesh-values.yaml").read_text())
    printed = CliRunner().invoke(main, ["gateway", "mesh-values"]).stdout
    assert kept == yaml.safe_load(printed)

    (provider,) = kept["meshConfig"]["extensionProviders"]
    items = objects("overlays/istio")
    service = find(items, "Service", "maas-api")
    asked = provider["envoyExtAuthzHttp"]
    assert provider["name"] == find(items, "AuthorizationPolicy", "maas-api-authz")["spec"]["provider"]["name"]
    assert asked["service"] == f"maas-api.{service['metadata']['namespace']}.svc.cluster.local"
    assert asked["port"] in {port["port"] for port in service["spec"]["ports"]}
    assert asked["pathPrefix"] == authorizer.PREFIX
    assert asked["failOpen"] is False


def test_with_istio_alone_the_gateway_reads_the_models_name_for_limited_keys() -> None:
    """The filter is the one that is rendered beside providers. MAAS_UPDATE_GOLDEN=1 renders it anew."""
    path = PATCHES / "overlays/istio/model-name.yaml"
    options = Options(auth="istio", namespace="istio-ingress", gateway_namespace="istio-ingress")
    rendered = to_yaml([body_reader(options)], header=MODEL_NAME_HEADER)
    if os.environ.get("MAAS_UPDATE_GOLDEN"):
        path.write_text(rendered)
    assert path.read_text() == rendered
    assert find(objects("overlays/istio"), "EnvoyFilter", "maas-default-gateway-model-name")


MODEL_NAME_HEADER = """Generated from maas_api/gateway/manifests/istio.py; a test holds it to that.

Tells the service which model a request's body names. gateway render writes the same beside providers."""


def test_with_istio_alone_a_client_cannot_say_who_it_is() -> None:
    filters = find(objects("overlays/istio"), "EnvoyFilter", "maas-identity-headers")
    (patch,) = filters["spec"]["configPatches"]
    (extension,) = patch["patch"]["value"]["typed_config"]["early_header_mutation_extensions"]
    removed = {item["remove"] for item in extension["typed_config"]["mutations"]}
    assert removed >= {name.lower() for name in (headers.USERNAME, headers.GROUP, headers.MODELS)}
    assert removed >= {PROVIDER_HEADER, ROUTE_HEADER}
