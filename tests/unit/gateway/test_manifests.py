"""The rendered resources: what an API server takes, the same every time, without a provider key unless asked for."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from maas_api.access.opened import parse
from maas_api.gateway import authorizer, envoy
from maas_api.gateway.manifests import (
    OptionError,
    Options,
    Target,
    TokenLimit,
    mesh_values,
    render,
    to_yaml,
)
from maas_api.providers import CREDENTIAL_HEADERS
from tests.support.kubernetes import ROOT, complaints
from tests.support.manifests import OPTIONS, TARGETS, of_kind, options_for, rendered

GOLDEN = ROOT / "tests" / "golden" / "gateway"


@pytest.mark.parametrize(("options", "which"), list(itertools.product(OPTIONS, TARGETS)))
def test_every_resource_is_what_an_api_server_takes_as_it_is(options: str, which: str) -> None:
    found = rendered(options, which)
    assert [complaint for item in found for complaint in complaints(item)] == []
    # What is printed is what was judged.
    assert list(yaml.safe_load_all(to_yaml(found, header="x"))) == found


KINDS = ["Service", "ServiceEntry", "DestinationRule"]
POLICIES, ROUTES = ["AuthPolicy"] * 2, ["HTTPRoute"] * 2  # to the provider, and to its list of models


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        ("kuadrant", ["ConfigMap", "EnvoyFilter", *KINDS, *POLICIES, "TokenRateLimitPolicy", "EnvoyFilter", *ROUTES]),
        ("kuadrant-unlimited", ["ConfigMap", "EnvoyFilter", *KINDS, *POLICIES, "EnvoyFilter", *ROUTES]),
        ("kuadrant-literal", ["EnvoyFilter", *KINDS, *POLICIES, "TokenRateLimitPolicy", *ROUTES]),
        ("istio", ["ConfigMap", *KINDS, "AuthorizationPolicy", "EnvoyFilter", *ROUTES]),
    ],
)
def test_the_route_comes_last_so_that_it_is_never_open(options: str, kinds: list[str]) -> None:
    assert [item["kind"] for item in rendered(options, "openai")] == ["EnvoyFilter", *kinds], (
        "who reads the model first"
    )


@pytest.mark.parametrize("options", OPTIONS)
def test_the_same_options_give_the_same_bytes_in_any_order(options: str) -> None:
    targets = [TARGETS["openai"], TARGETS["anthropic"], TARGETS["azure"]]
    keys = {item.provider.name: "k" for item in targets} if options == "kuadrant-literal" else {}
    texts = {
        to_yaml(render(options_for(options, *targets), list(order), keys)) for order in itertools.permutations(targets)
    }
    assert len(texts) == 1


@pytest.mark.parametrize("name", ["kuadrant", "kuadrant-literal", "istio"])
def test_what_is_rendered_is_what_was_reviewed(name: str) -> None:
    """The resources are kept for reading; MAAS_UPDATE_GOLDEN=1 renews them."""
    targets = [TARGETS["openai"], TARGETS["anthropic"], TARGETS["own server, private CA"]]
    keys = {item.provider.name: f"{item.provider.name}-key" for item in targets} if "literal" in name else {}
    text = to_yaml(render(OPTIONS[name], targets, keys))
    path = GOLDEN / f"{name}.yaml"
    if os.environ.get("MAAS_UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert path.read_text() == text


@pytest.mark.parametrize(("options", "which"), list(itertools.product(OPTIONS, TARGETS)))
def test_a_callers_credential_leaves_with_no_request(options: str, which: str) -> None:
    """Removed on the route, but for the one header that the policy has just filled with the provider's key."""
    items = rendered(options, which)
    kept = {TARGETS[which].provider.credential_header} if options == "kuadrant-literal" else set()
    for rule in of_kind(items, "HTTPRoute")["spec"]["rules"]:
        (modifier,) = (item["requestHeaderModifier"] for item in rule["filters"] if "requestHeaderModifier" in item)
        assert {*CREDENTIAL_HEADERS} - {*modifier["remove"]} == kept
        assert {"x-maas-username", "x-maas-group", "x-maas-subscription", "x-maas-models"} <= {*modifier["remove"]}


@pytest.mark.parametrize("which", [name for name, item in TARGETS.items() if item.tls])
def test_tls_verifies_the_authority_and_the_name(which: str) -> None:
    tls = of_kind(rendered("kuadrant", which), "DestinationRule")["spec"]["trafficPolicy"]["tls"]
    item = TARGETS[which]
    assert tls == {
        "mode": "SIMPLE",
        "sni": item.host,
        "caCertificates": item.ca,
        "subjectAltNames": [item.host],
    }


def test_everything_of_one_provider_points_at_each_other() -> None:
    for options, which in itertools.product(OPTIONS, TARGETS):
        items = rendered(options, which)
        service, route = of_kind(items, "Service"), of_kind(items, "HTTPRoute")
        entry, rule = of_kind(items, "ServiceEntry"), of_kind(items, "DestinationRule")
        host, ports = service["spec"]["externalName"], [item["port"] for item in service["spec"]["ports"]]
        assert entry["spec"]["hosts"] == [host] == [rule["spec"]["host"]]
        assert [item["number"] for item in entry["spec"]["ports"]] == ports
        assert {item.get("targetPort", item["number"]) for item in entry["spec"]["ports"]} == {ports[0]}
        used = [(ref["name"], ref["port"]) for section in route["spec"]["rules"] for ref in section["backendRefs"]]
        assert set(used) == {(service["metadata"]["name"], port) for port in ports}
        routes = {item["metadata"]["name"]: item for item in items if item["kind"] == "HTTPRoute"}
        for item in items:
            if "targetRef" in item.get("spec", {}):
                where = routes[item["spec"]["targetRef"]["name"]]["metadata"]["namespace"]
                assert item["metadata"]["namespace"] == where
            if "targetRefs" in item.get("spec", {}):
                parent = route["spec"]["parentRefs"][0]
                assert item["spec"]["targetRefs"][0]["name"] == parent["name"]
                assert item["metadata"]["namespace"] == parent["namespace"]


def test_istio_asks_on_the_bare_prefix_too_because_the_route_matches_it() -> None:
    paths = of_kind(rendered("istio", "openai"), "AuthorizationPolicy")["spec"]["rules"][0]["to"][0]["operation"][
        "paths"
    ]
    assert paths == ["/external/openai", "/external/openai/*"]


def test_the_mesh_asks_as_the_local_gateway_does() -> None:
    """The extension provider beside the local gateway's own ext_authz; and the Istio overlay has this one."""
    service = "maas-api.maas-api.svc.cluster.local"
    values = mesh_values(service, 8443, Options().authorizer)
    assert yaml.safe_load((ROOT / "patches/overlays/istio/mesh-values.yaml").read_text()) == values
    theirs = values["meshConfig"]["extensionProviders"][0]["envoyExtAuthzHttp"]

    plan = envoy.Plan(listen=envoy.Address("127.0.0.1", 0), maas_api=envoy.Upstream(host=service, port=8443))
    bootstrap = yaml.safe_load(envoy.render(plan, Path("/x"))["bootstrap.yaml"])
    manager = bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    (ours,) = (item["typed_config"] for item in manager["http_filters"] if item["name"].endswith("ext_authz"))

    def exactly(names: list[str]) -> dict[str, Any]:
        return {"patterns": [{"exact": name} for name in names]}

    assert ours["http_service"]["path_prefix"] == theirs["pathPrefix"] == authorizer.PREFIX
    assert (ours["failure_mode_allow"], theirs["failOpen"]) == (False, False)
    assert ours["allowed_headers"] == exactly(theirs["includeRequestHeadersInCheck"])
    answer = ours["http_service"]["authorization_response"]
    assert answer["allowed_upstream_headers"] == exactly(theirs["headersToUpstreamOnAllow"])
    assert answer["allowed_client_headers"] == exactly(theirs["headersToDownstreamOnDeny"])
    assert answer["allowed_client_headers_on_success"] == exactly(theirs["headersToDownstreamOnAllow"])


def test_no_provider_key_is_written_unless_asked_for() -> None:
    for options, item in itertools.product(("kuadrant", "istio"), TARGETS.values()):
        with pytest.raises(OptionError, match="literal only"):
            render(OPTIONS[options], [item], {item.provider.name: "a-provider-key"})
    assert "a-provider-key" in json.dumps(rendered("kuadrant-literal", "openai"))


def test_the_gateways_pods_find_the_keys_where_the_filter_looks() -> None:
    items = rendered("kuadrant", "openai")
    pod = yaml.safe_load(of_kind(items, "ConfigMap")["data"]["deployment"])["spec"]["template"]["spec"]
    where = pod["containers"][0]["volumeMounts"][0]["mountPath"]
    filters = [item for item in items if item["kind"] == "EnvoyFilter"]
    looked = re.findall(r'"path": "([^"]+)"', json.dumps(filters))
    assert {Path(path).parent.as_posix() for path in looked if path.endswith(".yaml")} == {where}
    assert where in looked, "the folder is watched"


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"namespace": "Not A Name"}, "namespace: must be a DNS label"),
        ({"gateway": ""}, "gateway: must be a DNS label"),
        ({"gateway_namespace": "a\n"}, "gateway-namespace: must be a DNS label"),
        ({"callback_url": "maas-api:8443"}, "callback-url: must be an http"),
        ({"callback_url": "https://user:pw@maas-api"}, "callback-url: must be an http"),
        ({"token_audiences": ()}, "token-audience: at least one"),
        ({"cache": "forever"}, "cache: must be one of off, short, standard, long"),
        ({"token_limits": (TokenLimit(0, "1m"),)}, "token-limit: must allow at least 1"),
        ({"token_limits": (TokenLimit(1, "1 minute"),)}, "token-limit: must have a window"),
        ({"request_timeout": "soon"}, "request-timeout: must be a duration"),
        ({"auth": "istio", "provider_keys": "literal"}, "provider-keys: literal is for Kuadrant"),
        (
            {"auth": "istio", "cache": "off"},
            "cache: is Authorino's; with --auth istio the gateway asks at every request",
        ),
        ({"auth": "istio", "token_limits": (TokenLimit(1, "1m"),)}, "token-limit: is Kuadrant's TokenRateLimitPolicy"),
        ({"auth": "none"}, "auth: must be kuadrant or istio"),
        ({"provider_keys": "literal", "one_url": True}, "one-url: a policy at the root cannot tell whose key"),
        ({"open_paths": parse(["openai:TRACE /v1/files"])}, "open-path: the method must be one of GET"),
        ({"provider_keys": "plain"}, "provider-keys: must be secret or literal"),
    ],
)
def test_an_option_that_cannot_be_is_refused_with_its_rule(change: dict[str, Any], rule: str) -> None:
    with pytest.raises(OptionError, match=re.escape(rule)):
        dataclasses.replace(Options(), **change)


def test_a_limit_that_nobody_would_count_is_refused_with_the_reason() -> None:
    limited = Options(token_limits=(TokenLimit(1000, "1m"),))
    assert of_kind(render(limited, [TARGETS["openai"]]), "TokenRateLimitPolicy")
    with pytest.raises(OptionError, match=r"no effect on anthropic: Kuadrant counts usage.total_tokens"):
        render(limited, [TARGETS["openai"], TARGETS["anthropic"]])
    for options in (Options(), Options(token_limits=())):
        kinds = [item["kind"] for item in render(options, [TARGETS["anthropic"]])]
        assert "TokenRateLimitPolicy" not in kinds


def test_providers_and_keys_must_fit() -> None:
    openai = TARGETS["openai"]
    with pytest.raises(OptionError, match="openai is given twice"):
        render(Options(), [openai, openai])
    with pytest.raises(OptionError, match="needs one for openai"):
        render(Options(provider_keys="literal"), [openai])
    with pytest.raises(OptionError, match="absolute path"):
        Target(provider=openai.provider, ca="ca.pem")
