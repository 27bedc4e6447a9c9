"""The service against an API server that enforces the roles of the manifests: it needs all of them and no more."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from maas_api.app import build
from maas_api.config import Settings, load
from maas_api.kube import permissions
from maas_api.kube import secrets as kube_secrets
from maas_api.kube.objects import KINDS, Kind
from tests.support import kubeapi
from tests.support.kubeapi import KubeApi, kubeconfig
from tests.support.kubernetes import environment, find, objects
from tests.support.rbac import Authorizer, Right, granted
from tests.support.serving import serving
from tests.support.wait import until
from tests.unit.subscriptions.objects import policy, subscription

ALICE = {"X-MaaS-Username": "alice", "X-MaaS-Group": '["team-a"]'}
GATEWAY = Kind("gateway.networking.k8s.io", ("v1",), "gateways", "Gateway")
TOKEN = secrets.token_urlsafe(24)


@contextmanager
def cluster(rights: set[Right]) -> Iterator[tuple[KubeApi, Authorizer]]:
    """A running API server with these rights for whoever asks. Alice owns a subscription and is an admin."""
    api, authorizer = KubeApi((*KINDS, GATEWAY)), Authorizer(rights)
    api.authorize = authorizer
    api.put("maassubscriptions", subscription("gold", users=("alice",)))
    api.put("maasauthpolicies", policy("gold", "opt", groups=("team-a",)))
    api.answers["subjectaccessreviews"] = lambda _body: {"status": {"allowed": True}}
    user = {"username": "alice", "groups": ["team-a"]}
    api.answers["tokenreviews"] = lambda _body: {"status": {"authenticated": True, "user": user}}
    with kubeapi.running(api):
        yield api, authorizer


def settings(overlay: str, api: KubeApi, folder: Path) -> Settings:
    """An overlay's options, with the store, the certificate and the way to the cluster replaced."""
    env = environment(find(objects(f"overlays/{overlay}"), "Deployment", "maas-api"), folder)
    for name in ("DATABASE_URL_FILE", "TLS_SELF_SIGNED", "TLS_CERT", "TLS_KEY"):
        env.pop(name, None)
    return load({"kubeconfig": str(kubeconfig(api, folder)), "sqlite_path": str(folder / "keys.db")}, env)


def exercise(client: httpx.Client) -> None:
    """Everything a service is asked to do that makes it ask the cluster."""
    until(lambda: client.get("/readyz").status_code == 200, what="the service is ready")
    minted = client.post("/v1/api-keys", json={"name": "a"}, headers=ALICE)
    assert minted.status_code == 201, minted.text
    listed = client.get("/v1/models", headers={**ALICE, "Authorization": "Bearer x"})
    assert listed.status_code == 200
    revoked = client.post("/v1/api-keys/bulk-revoke", json={"username": "bob", "dryRun": True}, headers=ALICE)
    assert revoked.status_code == 200, "an admin, says the cluster"
    client.get("/internal/v1/authz/v1/models", headers={"Authorization": f"Bearer {TOKEN}"})
    client.get("/v1/tenants", headers={"Authorization": f"Bearer {TOKEN}"})


@pytest.mark.parametrize("overlay", ["openshift", "istio"])
def test_the_service_uses_every_right_it_is_given_and_no_other(overlay: str, tmp_path: Path) -> None:
    rights = granted(objects(f"overlays/{overlay}"))
    with cluster(rights) as (api, authorizer):
        service = build(settings(overlay, api, tmp_path))
        with serving(service) as base, httpx.Client(base_url=base) as client:
            exercise(client)
            watching = {right for right in rights if right[2] == "watch"}
            until(lambda: watching <= authorizer.used, what="every watch is open")
        assert authorizer.refused == []
        assert authorizer.used == rights


def rights_of(chosen: Settings) -> set[Right]:
    return {
        (right.group, right.resource, verb, right.namespace, right.name)
        for right in permissions.needed(chosen)
        for verb in right.verbs
    }


def test_with_every_source_on_the_listed_permissions_are_the_ones_used(tmp_path: Path) -> None:
    """The options that no overlay sets: the other kinds, the database's Secret, the tenant, access by namespace."""
    flags = {
        "kubernetes": "on",
        "default_subscription": "default",
        "source_inferenceservices": "auto",
        "source_maasmodelrefs": "auto",
        "namespace_access_check": "true",
        "token_review": "true",
        "live_groups": "openshift",
        "tenants_endpoint": "true",
        "database_secret": "maas-db-config",
        "sqlite_path": str(tmp_path / "keys.db"),
    }
    rights = rights_of(load(flags, {}))
    assert {right[1] for right in rights} >= {kind.plural for kind in (*KINDS, GATEWAY)}
    with cluster(rights) as (api, authorizer):
        flags["kubeconfig"] = str(kubeconfig(api, tmp_path))
        api.secrets[("maas-api", "maas-db-config")] = {"DB_CONNECTION_URL": f"sqlite:///{tmp_path / 'keys.db'}"}
        with serving(build(load(flags, {}))) as base, httpx.Client(base_url=base) as client:
            exercise(client)
            watching = {right for right in rights if right[2] == "watch"}
            until(lambda: watching <= authorizer.used, what="every watch is open")
        assert authorizer.refused == []
        assert authorizer.used == rights


@pytest.mark.parametrize("overlay", ["openshift", "istio"])
def test_a_right_taken_away_is_noticed(overlay: str, tmp_path: Path) -> None:
    """The test above would not be green if the server let everything pass."""
    rights = granted(objects(f"overlays/{overlay}"))
    missing = {right for right in rights if right[1] == "llminferenceservices"}
    with cluster(rights - missing) as (api, authorizer):
        service = build(settings(overlay, api, tmp_path))
        with serving(service):
            until(lambda: authorizer.refused, what="a refusal")
        assert {right[1] for right in authorizer.refused} == {"llminferenceservices"}


def test_the_secret_is_read_by_name_and_nothing_else_of_its_kind(tmp_path: Path) -> None:
    own: set[Right] = {("", "secrets", "get", "maas-api", "maas-db-config")}
    with cluster(own) as (api, authorizer):
        api.secrets[("maas-api", "maas-db-config")] = {"DB_CONNECTION_URL": "sqlite:///x.db"}
        chosen = load({"kubeconfig": str(kubeconfig(api, tmp_path)), "database_secret": "maas-db-config"}, {})
        read: Callable[[str, str, str], Any] = kube_secrets.reader(chosen, {})
        assert read("maas-api", "maas-db-config", "DB_CONNECTION_URL") == "sqlite:///x.db"
        assert authorizer.used == own
