"""The generated configuration as text: pure, repeatable, without secrets; and plans that cannot be carried out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from maas_api import providers
from maas_api.gateway import envoy
from maas_api.gateway.envoy.secrets import render_secret

FOLDER = Path("/gateway")
CA = Path("/ca.pem")


def plan(**changes: Any) -> envoy.Plan:
    values: dict[str, Any] = {
        "listen": envoy.Address("127.0.0.1", 8080),
        "maas_api": envoy.Upstream.from_url("http://127.0.0.1:9000"),
        "models": (
            envoy.LocalRoute(
                path_prefix="/llm/opt/", upstream=envoy.Upstream.from_url("https://opt.llm.svc/base", ca_file=CA)
            ),
        ),
        "providers": tuple(
            envoy.provider_route(providers.provider(name), ca_file=CA) for name in ("openai", "anthropic")
        ),
    }
    return envoy.Plan(**{**values, **changes})


def resources(name: str, **changes: Any) -> list[dict[str, Any]]:
    return list(yaml.safe_load(envoy.render(plan(**changes), FOLDER)[name])["resources"])


def test_the_same_plan_gives_the_same_bytes_and_a_changed_one_another_version() -> None:
    first, again = envoy.render(plan(), FOLDER), envoy.render(plan(), FOLDER)
    assert first == again
    fewer = envoy.render(plan(models=()), FOLDER)
    assert envoy.version(first["routes.yaml"]) != envoy.version(fewer["routes.yaml"])
    assert first["bootstrap.yaml"] == fewer["bootstrap.yaml"], "the catalog never touches what needs a restart"


def test_there_is_no_admin_interface_unless_asked_for() -> None:
    assert "admin" not in yaml.safe_load(envoy.render(plan(), FOLDER)["bootstrap.yaml"])
    with_admin = envoy.render(plan(), FOLDER, admin_socket=Path("/run/admin"))["bootstrap.yaml"]
    assert yaml.safe_load(with_admin)["admin"]["address"]["pipe"] == {"path": "/run/admin", "mode": 0o600}


def test_every_route_asks_the_authorizer_but_health_and_the_last() -> None:
    routes = resources("routes.yaml")[0]["virtual_hosts"][0]["routes"]
    free = [
        route["name"]
        for route in routes
        if route.get("typed_per_filter_config", {}).get("envoy.filters.http.ext_authz", {}).get("disabled")
    ]
    assert free == ["no-upgrade", "preflight", "maas-api/maas-api/health", "nothing"]
    assert routes[-1]["direct_response"]["status"] == 404


def test_a_models_own_path_takes_the_prefixs_place() -> None:
    routes = resources("routes.yaml")[0]["virtual_hosts"][0]["routes"]
    to = next(route["route"] for route in routes if route["match"] == {"prefix": "/llm/opt/"})
    assert (to["prefix_rewrite"], to["host_rewrite_literal"]) == ("/base/", "opt.llm.svc")


def test_a_call_at_the_root_goes_where_the_authorizer_says_and_nowhere_without_its_word() -> None:
    routes = resources("routes.yaml")[0]["virtual_hosts"][0]["routes"]
    chosen = {
        route["match"]["headers"][0]["string_match"]["exact"]: route["route"]["prefix_rewrite"]
        for route in routes
        if route["name"].startswith("root/") and "prefix" in route["match"]
    }
    assert chosen["llm/opt"] == "/base/v1/"
    assert chosen["external/openai"] == "/v1/"
    unrouted = next(route for route in routes if route["match"] == {"prefix": "/v1/"})
    assert "route" not in unrouted


def test_a_request_is_repeated_only_where_no_model_can_have_seen_it() -> None:
    for route in resources("routes.yaml")[0]["virtual_hosts"][0]["routes"]:
        repeated = route.get("route", {}).get("retry_policy", {}).get("retry_on", "")
        assert set(filter(None, repeated.split(","))) <= {"connect-failure", "refused-stream", "reset-before-request"}


def test_only_the_authorizers_connection_carries_the_shared_secret() -> None:
    carrying = [
        cluster["name"]
        for cluster in resources("clusters.yaml", internal_secret=True, providers=())
        if "credential_injector" in str(cluster)
    ]
    assert carrying == ["maas-api-authority"]


def test_every_tls_connection_verifies_authority_and_name() -> None:
    for cluster in resources("clusters.yaml"):
        if "transport_socket" not in cluster:
            continue
        context = cluster["transport_socket"]["typed_config"]["common_tls_context"]["validation_context"]
        assert context["trusted_ca"] == {"filename": "/ca.pem"}
        assert context["match_typed_subject_alt_names"][0]["matcher"]["exact"]


@pytest.mark.parametrize("value", ["", "two words", "line\nbreak", "tab\t", "ünicode", "nul\x00"])
def test_a_secret_that_cannot_be_a_header_is_refused_without_being_shown(value: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII") as caught:
        render_secret("provider-x", value)
    assert value == "" or value not in str(caught.value)


def test_a_secret_is_quoted_whatever_it_looks_like() -> None:
    for value in ("yes", "1e3", "#a", "'\"", "{a}", "x" * 300):
        document = yaml.safe_load(render_secret("s", value))
        assert document["resources"][0]["generic_secret"]["secret"]["inline_string"] == value


@pytest.mark.parametrize(
    ("prefixes", "rule"),
    [
        (("/v1/models/",), "gateway's own"),
        (("/external/x/",), "gateway's own"),
        (("/internal/x/",), "gateway's own"),
        (("/maas-api/x/",), "gateway's own"),
        (("/one/",), "must be /<namespace>/<name>/"),
        (("/a/b",), "must be /<namespace>/<name>/"),
        (("/a/../",), "must be /<namespace>/<name>/"),
        (("/A/b/",), "must be /<namespace>/<name>/"),
        (("/a/b%2fc/",), "must be /<namespace>/<name>/"),
        (("/a/b/", "/a/b/"), "there twice"),
    ],
)
def test_a_plan_with_an_impossible_route_is_refused(prefixes: tuple[str, ...], rule: str) -> None:
    upstream = envoy.Upstream(host="127.0.0.1", port=1)
    with pytest.raises(envoy.PlanError, match=rule):
        plan(models=tuple(envoy.LocalRoute(path_prefix=prefix, upstream=upstream) for prefix in prefixes))


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("ftp://host", "http:// or https://"),
        ("http://", "http:// or https://"),
        ("opt:8080", "http:// or https://"),
        ("http://u:p@host", "must not carry credentials"),
        ("http://host/?q=1", "query or a fragment"),
        ("http://host:99999", "upstream"),
        ("https://host", "needs the file of the CAs"),
    ],
)
def test_an_address_that_is_none_is_refused(url: str, rule: str) -> None:
    with pytest.raises(envoy.PlanError, match=rule) as caught:
        envoy.Upstream.from_url(url)
    assert "u:p" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "host"),
    [("http://a:80", "a"), ("http://a:8080/x", "a:8080"), ("https://a", "a"), ("http://[::1]:81", "[::1]:81")],
)
def test_the_host_header_names_a_port_only_where_it_is_not_the_schemes_own(url: str, host: str) -> None:
    assert envoy.Upstream.from_url(url, ca_file=CA).host_header == host
