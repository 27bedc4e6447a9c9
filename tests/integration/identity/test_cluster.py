"""Questions about callers that the cluster answers: whose token it is, who is an admin, where the database is."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from maas_api.app import build
from maas_api.config import ConfigError, load
from maas_api.kube import secrets as kube_secrets
from tests.support import kubeapi
from tests.support.kubeapi import Fault, KubeApi
from tests.support.serving import serving
from tests.support.wait import until

ALICE = {"X-MaaS-Username": "alice", "X-MaaS-Group": '["ml"]'}
BOB = {"X-MaaS-Username": "bob", "X-MaaS-Group": '["ops"]'}


@pytest.fixture
def api() -> Iterator[KubeApi]:
    found = KubeApi()
    with kubeapi.running(found):
        yield found


@pytest.fixture
def flags(api: KubeApi, tmp_path: Path) -> dict[str, str]:
    file = tmp_path / "kubeconfig"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {"server": api.url}}],
        "users": [{"name": "test", "user": {}}],
    }
    file.write_text(yaml.safe_dump(document))
    return {
        "kubeconfig": str(file),
        "sqlite_path": str(tmp_path / "keys.db"),
        "default_subscription": "default",
        "source_subscriptions": "off",
    }


@pytest.fixture
def client(flags: dict[str, str]) -> Iterator[httpx.Client]:
    settings = load(flags | {"token_review": "true", "token_audiences": "maas-default-gateway-sa"}, {})
    with serving(build(settings)) as base, httpx.Client(base_url=base) as session:
        yield session


def _authz(client: httpx.Client, token: str) -> httpx.Response:
    return client.get("/internal/v1/authz/v1/api-keys", headers={"Authorization": f"Bearer {token}"})


def test_a_service_account_token_opens_the_gateway_as_whom_the_cluster_says(api: KubeApi, client: httpx.Client) -> None:
    token, asked = secrets.token_urlsafe(24), []

    def review(body: Any) -> Any:
        asked.append(body["spec"])
        known = body["spec"]["token"] == token
        user = {"username": "system:serviceaccount:ml:robot", "groups": ["system:serviceaccounts"]}
        return {"status": {"authenticated": known, "user": user, "audiences": body["spec"]["audiences"]}}

    api.answers["tokenreviews"] = review
    opened = [_authz(client, token) for _ in range(3)]
    assert [answer.status_code for answer in opened] == [200] * 3
    assert opened[0].headers["x-maas-username"] == "system:serviceaccount:ml:robot"
    assert asked == [{"token": token, "audiences": ["maas-default-gateway-sa"]}]
    assert _authz(client, secrets.token_urlsafe(24)).status_code == 401


def test_a_token_for_another_audience_opens_nothing(api: KubeApi, client: httpx.Client) -> None:
    user = {"username": "robot", "groups": ["robots"]}
    api.answers["tokenreviews"] = lambda body: {"status": {"authenticated": True, "user": user, "audiences": ["other"]}}
    assert _authz(client, secrets.token_urlsafe(24)).status_code == 401


def test_a_cluster_that_does_not_answer_lets_nobody_in_and_says_try_again(api: KubeApi, client: httpx.Client) -> None:
    api.inject(Fault("post", "tokenreviews", status=500))
    refused = _authz(client, secrets.token_urlsafe(24))
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")


def test_an_admin_of_the_cluster_reads_the_keys_of_others(api: KubeApi, client: httpx.Client) -> None:
    key = client.post("/v1/api-keys", json={"name": "a"}, headers=ALICE).json()["id"]
    asked = []

    def review(body: Any) -> Any:
        asked.append(body["spec"])
        return {"status": {"allowed": body["spec"]["user"] == "bob"}}

    api.answers["subjectaccessreviews"] = review
    carol = {"X-MaaS-Username": "carol", "X-MaaS-Group": '["ml"]'}
    assert client.get(f"/v1/api-keys/{key}", headers=BOB).status_code == 200
    assert client.get(f"/v1/api-keys/{key}", headers=BOB).status_code == 200
    assert client.get(f"/v1/api-keys/{key}", headers=carol).status_code == 404
    assert [spec["user"] for spec in asked] == ["bob", "carol"]
    assert asked[0] == {
        "user": "bob",
        "groups": ["ops"],
        "resourceAttributes": {
            "namespace": "models-as-a-service",
            "verb": "create",
            "group": "maas.opendatahub.io",
            "resource": "maasauthpolicies",
        },
    }


def test_while_the_cluster_cannot_say_who_is_an_admin_other_peoples_keys_stay_hidden(
    api: KubeApi, client: httpx.Client
) -> None:
    key = client.post("/v1/api-keys", json={"name": "a"}, headers=ALICE).json()["id"]
    api.inject(Fault("post", "subjectaccessreviews", status=500))
    assert client.get(f"/v1/api-keys/{key}", headers=BOB).status_code == 404
    api.answers["subjectaccessreviews"] = lambda body: {"status": {"allowed": True}}
    until(lambda: client.get(f"/v1/api-keys/{key}", headers=BOB).status_code == 200, what="the admin is known again")


def test_the_database_url_comes_from_the_secret_of_the_go_service(api: KubeApi, flags: dict[str, str]) -> None:
    api.secrets[("maas-api", "maas-db-config")] = {"DB_CONNECTION_URL": "postgresql://db/maas"}
    settings = load(flags | {"database_secret": "maas-db-config"}, {})
    read = kube_secrets.reader(settings, {})
    assert read("maas-api", "maas-db-config", "DB_CONNECTION_URL") == "postgresql://db/maas"
    with pytest.raises(ConfigError, match="has no entry OTHER"):
        read("maas-api", "maas-db-config", "OTHER")
    with pytest.raises(ConfigError, match=r"--database-secret.*maas-api/absent cannot be read"):
        read("maas-api", "absent", "DB_CONNECTION_URL")


@pytest.mark.parametrize(
    ("option", "value", "rule"),
    [
        ("token_review", "true", "--token-review.*needs a cluster"),
        ("admin_check", "on", "--admin-check.*on needs a cluster"),
        ("database_secret", "maas-db-config", "--database-secret.*needs a cluster"),
    ],
)
def test_what_needs_a_cluster_is_refused_without_one(tmp_path: Path, option: str, value: str, rule: str) -> None:
    flags = {"sqlite_path": str(tmp_path / "keys.db"), "manifests": str(tmp_path), "kubernetes": "off", option: value}
    with pytest.raises(ConfigError, match=rule):
        build(load(flags, {}))
