"""``GET /v1/tenants`` over real HTTP: who may ask, and what the Gateway says about itself."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from maas_api.app import build
from maas_api.config import ConfigError, load
from maas_api.identity import tenants
from maas_api.kube.objects import KINDS, Kind
from tests.support import contract, crds, kubeapi
from tests.support.kubeapi import Fault, KubeApi, kubeconfig
from tests.support.serving import serving

GATEWAY = Kind("gateway.networking.k8s.io", ("v1",), "gateways", "Gateway")
TOKEN = secrets.token_urlsafe(24)
PATH = "/v1/tenants"


def gateway(
    *listeners: tuple[str, int, str, str, int], addresses: tuple[str, ...] = ("gw.elb.example.com",)
) -> dict[str, Any]:
    """A Gateway. A listener: name, port, protocol, hostname (or empty), attached routes."""
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "maas-default-gateway", "namespace": "openshift-ingress"},
        "spec": {
            "gatewayClassName": "istio",
            "listeners": [
                {"name": name, "port": port, "protocol": protocol} | ({"hostname": host} if host else {})
                for name, port, protocol, host, _ in listeners
            ],
        },
        "status": {
            "addresses": [{"type": "Hostname", "value": value} for value in addresses],
            "listeners": [
                {"name": name, "attachedRoutes": routes, "conditions": [], "supportedKinds": []}
                for name, _, _, _, routes in listeners
            ],
        },
    }


HTTPS = ("https", 443, "HTTPS", "maas.example.com", 3)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (gateway(HTTPS), ("https", "https://maas.example.com", 443)),
        (gateway(("http", 80, "HTTP", "", 0), HTTPS), ("https", "https://maas.example.com", 443)),
        (gateway(("http", 80, "HTTP", "", 1), HTTPS), ("http", "http://gw.elb.example.com", 80)),
        (gateway(("alt", 8443, "HTTPS", "*.example.com", 1)), ("https", "https://gw.elb.example.com:8443", 8443)),
        (gateway(("v6", 443, "HTTPS", "", 1), addresses=("2001:db8::1",)), ("https", "https://[2001:db8::1]", 443)),
        (gateway(("tcp", 9000, "TCP", "", 1)), None),
        (gateway(("https", 443, "HTTPS", "", 1), addresses=()), None),
        (gateway(("https", 443, "HTTPS", "a.example", 0)), None),
        ({}, None),
        ({"status": {"listeners": "x", "addresses": [1]}, "spec": {"listeners": [None]}}, None),
    ],
)
def test_the_first_listener_in_use_is_where_the_gateway_is_reached(
    found: dict[str, Any], expected: tuple[str, str, int] | None
) -> None:
    where = tenants.endpoint(found)
    assert (None if where is None else (where.protocol, where.url, where.port)) == expected


def test_the_gateways_here_are_gateways_a_cluster_would_take() -> None:
    assert crds.errors(gateway(HTTPS)) == []


@pytest.fixture
def api() -> Iterator[KubeApi]:
    """A cluster that knows one token, whose user may do what everyone may."""
    found = KubeApi((*KINDS, GATEWAY))
    user = {"username": "alice", "groups": ["team-a"]}
    found.answers["tokenreviews"] = lambda body: {
        "status": {"authenticated": body["spec"]["token"] == TOKEN, "user": user}
    }
    found.answers["subjectaccessreviews"] = lambda body: {"status": {"allowed": body["spec"]["user"] == "alice"}}
    found.put("gateways", gateway(HTTPS))
    with kubeapi.running(found):
        yield found


@pytest.fixture
def client(api: KubeApi, tmp_path: Path) -> Iterator[httpx.Client]:
    flags = {
        "kubeconfig": str(kubeconfig(api, tmp_path)),
        "sqlite_path": str(tmp_path / "keys.db"),
        "tenants_endpoint": "true",
    }
    with serving(build(load(flags, {}))) as base, httpx.Client(base_url=base) as made:
        yield made


def ask(client: httpx.Client, authorization: str = f"Bearer {TOKEN}") -> tuple[int, dict[str, Any]]:
    answer = client.get(PATH, headers={"Authorization": authorization} if authorization else {})
    contract.check("GET", PATH, answer.status_code, answer.json())
    assert answer.headers["cache-control"] == "no-store"
    return answer.status_code, answer.json()


def test_a_user_of_the_cluster_learns_the_tenant(client: httpx.Client) -> None:
    assert ask(client) == (
        200,
        {
            "tenants": [
                {
                    "name": "models-as-a-service",
                    "gateway": {
                        "name": "maas-default-gateway",
                        "namespace": "openshift-ingress",
                        "protocol": "https",
                        "externalUrl": "https://maas.example.com",
                        "port": 443,
                    },
                }
            ]
        },
    )


@pytest.mark.parametrize("authorization", ["", "Bearer", "Basic TOKEN", "Bearer unknown", "TOKEN"])
def test_anyone_else_learns_nothing(client: httpx.Client, authorization: str) -> None:
    status, body = ask(client, authorization.replace("TOKEN", TOKEN))
    assert (status, body["error"]) == (401, "Unauthorized")


def test_a_user_who_may_not_even_ask_is_refused(api: KubeApi, client: httpx.Client) -> None:
    api.answers["subjectaccessreviews"] = lambda _body: {"status": {"allowed": False}}
    assert ask(client)[0] == 403


def test_a_gateway_that_is_not_there_or_not_in_use_is_said_so(api: KubeApi, client: httpx.Client) -> None:
    api.put("gateways", gateway(("https", 443, "HTTPS", "", 0)))
    assert ask(client)[0] == 500
    api.delete("gateways", "openshift-ingress", "maas-default-gateway")
    status, body = ask(client)
    assert (status, body["details"]) == (404, "There is no Gateway maas-default-gateway in namespace openshift-ingress")


@pytest.mark.parametrize("fault", [Fault("post", "tokenreviews", status=500), Fault("list", "gateways", status=403)])
def test_a_cluster_that_does_not_answer_is_no_refusal(api: KubeApi, client: httpx.Client, fault: Fault) -> None:
    api.inject(fault)
    assert ask(client)[0] == 503
    assert ask(client)[0] == 200


def test_without_the_option_there_is_no_such_path_and_without_a_cluster_no_such_option(tmp_path: Path) -> None:
    flags = {"kubernetes": "off", "sqlite_path": str(tmp_path / "keys.db")}
    with serving(build(load(flags, {}))) as base:
        assert httpx.get(base + PATH).status_code == 404
    with pytest.raises(ConfigError, match="--tenants-endpoint"):
        build(load({**flags, "tenants_endpoint": "true"}, {}))
