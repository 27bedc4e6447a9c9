"""Two installations in two namespaces of one cluster: each has its rights, and removing one leaves the other whole."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import yaml

from maas_api.app import build
from maas_api.config import load
from tests.support import kubeapi
from tests.support.kubeapi import KubeApi, kubeconfig
from tests.support.kubernetes import PATCHES, Object, environment, find, kubectl, objects
from tests.support.objects import registry, service
from tests.support.rbac import Authorizer, Cluster, granted
from tests.support.serving import serving
from tests.support.wait import until
from tests.unit.patches.existing import deployment as existing

CALLER = {"X-MaaS-Username": "alice", "X-MaaS-Group": '["ml"]', "Authorization": "Bearer x"}


def kustomized(folder: Path, namespace: str, **parts: list[str]) -> list[Object]:
    """An overlay of an operator's own in another namespace; ``parts`` are folders under ``patches/``."""
    folder.mkdir()
    where = {name: [os.path.relpath(PATCHES / part, folder) for part in listed] for name, listed in parts.items()}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(where | {"transformers": ["ns.yaml", *_names(folder)]}))
    transformer = {
        "apiVersion": "builtin",
        "kind": "NamespaceTransformer",
        "metadata": {"name": "namespace", "namespace": namespace},
        "setRoleBindingSubjects": "allServiceAccounts",
        "unsetOnly": True,
    }
    (folder / "ns.yaml").write_text(yaml.safe_dump(transformer))
    text = kubectl("kustomize", "--load-restrictor", "LoadRestrictionsNone", str(folder))
    return list(yaml.safe_load_all(text))


def _names(folder: Path) -> list[str]:
    return [os.path.relpath(PATCHES / "names", folder)]


class Installation(NamedTuple):
    """What was applied for one namespace, and the Deployment that runs there."""

    namespace: str
    items: list[Object]
    deployment: Object


def installed(items: list[Object]) -> Installation:
    deployment = find(items, "Deployment", "maas-api")
    return Installation(deployment["metadata"]["namespace"], items, deployment)


def swapped(folder: Path) -> Installation:
    """The service in the place of the Go service of a third namespace, whose own role it keeps."""
    patch = (PATCHES / "overlays/swap-image/deployment-patch.yaml").read_text()
    deployment = existing(patch)
    deployment["metadata"]["namespace"] = "elsewhere"
    items = kustomized(folder, "elsewhere", resources=["rbac"], components=["components/subscriptions"])
    return Installation("elsewhere", items, deployment)


def second(kind: str, folder: Path) -> Installation:
    if kind == "a swap":
        return swapped(folder)
    parts = {"resources": ["base"], "components": ["components/subscriptions"]}
    return installed(kustomized(folder, "second", **parts))


@contextmanager
def live(api: KubeApi, cluster: Cluster, one: Installation, folder: Path) -> Iterator[tuple[httpx.Client, Authorizer]]:
    """The service of an installation, with the rights that the cluster has for its account now and later."""
    folder.mkdir()
    account = (one.namespace, "maas-api")
    authorizer = Authorizer(())

    def authorize(method: str, path: str, query: object) -> bool:
        authorizer.rights = granted(cluster.objects, account)
        return authorizer(method, path, query)  # type: ignore[arg-type]  # the stand-in's own mapping

    token = secrets.token_urlsafe(12)
    api.accounts[token] = authorize
    env = environment(one.deployment, folder)
    for name in ("DATABASE_URL_FILE", "TLS_SELF_SIGNED", "TLS_CERT", "TLS_KEY", "SECURE", "ADMIN_CHECK"):
        env.pop(name, None)
    flags = {"kubeconfig": str(kubeconfig(api, folder, token=token)), "sqlite_path": str(folder / "keys.db")}
    with serving(build(load(flags, env))) as base, httpx.Client(base_url=base, headers=CALLER) as client:
        until(lambda: client.get("/readyz").status_code == 200, what=f"{one.namespace} is ready")
        yield client, authorizer


def models(client: httpx.Client) -> list[str]:
    return [entry["id"] for entry in client.get("/v1/models").json()["data"]]


@pytest.mark.parametrize("removed", ["the first", "the second"])
@pytest.mark.parametrize("kind", ["another installation", "a swap"])
def test_each_keeps_its_rights_and_removing_one_leaves_the_other_whole(kind: str, removed: str, tmp_path: Path) -> None:
    first, other = installed(objects("overlays/openshift")), second(kind, tmp_path / "second")
    api, cluster = KubeApi(), Cluster()
    api.put("llminferenceservices", service("one", model="m1"))
    for each in (first, other):
        cluster.apply(each.items)
        api.put("configmaps", registry(f"[{{id: of-{each.namespace}, provider: openai}}]", namespace=each.namespace))
    stays, goes = (other, first) if removed == "the first" else (first, other)
    with (
        kubeapi.running(api),
        live(api, cluster, stays, tmp_path / "stays") as (client, authorizer),
        live(api, cluster, goes, tmp_path / "goes") as (its_client, its_authorizer),
    ):
        assert models(client) == ["m1", f"of-{stays.namespace}"]
        assert models(its_client) == ["m1", f"of-{goes.namespace}"]
        assert authorizer.refused == its_authorizer.refused == []
        cluster.delete(goes.items)
        api.cut_watches()
        api.put("llminferenceservices", service("two", model="m2"))
        until(lambda: models(client) == ["m1", "m2", f"of-{stays.namespace}"], what="the other goes on")
        until(lambda: its_authorizer.refused, what="the removed one's rights are gone")
        assert authorizer.refused == []
        assert authorizer.used <= granted(cluster.objects, (stays.namespace, "maas-api"))
    assert goes.namespace not in {item["metadata"].get("namespace") for item in cluster.objects}
