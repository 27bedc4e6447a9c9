"""Every overlay builds, is what an API server takes as it is, and hangs together."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from maas_api import config
from maas_api.kube import permissions
from tests.support.kubernetes import PATCHES, ROOT, Object, built, complaints, environment, find, kubectl, objects
from tests.support.rbac import granted

OVERLAYS = sorted(folder.name for folder in (PATCHES / "overlays").iterdir() if folder.is_dir())
SERVING = ["openshift", "istio"]
"""Overlays that install the service."""
BUILDABLE = ["base", "rbac", *(f"overlays/{name}" for name in OVERLAYS)]


def test_every_overlay_is_known_here() -> None:
    assert set(OVERLAYS) >= {*SERVING, "swap-image"}


@pytest.mark.parametrize("folder", BUILDABLE)
def test_every_object_is_what_an_api_server_takes_as_it_is(folder: str) -> None:
    found = objects(folder)
    assert found
    assert [complaint for item in found for complaint in complaints(item)] == []


@pytest.mark.parametrize("folder", BUILDABLE)
def test_what_is_built_is_what_was_reviewed(folder: str) -> None:
    """The built overlays are kept for reading; MAAS_UPDATE_GOLDEN=1 renews them."""
    path = ROOT / "tests" / "golden" / "patches" / f"{folder.rpartition('/')[2]}.yaml"
    header = f"# kubectl kustomize patches/{folder}\n"
    if os.environ.get("MAAS_UPDATE_GOLDEN"):
        path.write_text(header + built(folder))
    assert path.read_text() == header + built(folder)


def names(items: list[Object], kind: str) -> set[tuple[str, str]]:
    return {(item["metadata"].get("namespace", ""), item["metadata"]["name"]) for item in items if item["kind"] == kind}


def pods(items: list[Object]) -> Iterator[tuple[str, Object]]:
    """Every pod template, with the object it belongs to."""
    for item in items:
        if item["kind"] == "Deployment":
            yield item["metadata"]["name"], item["spec"]["template"]
        if item["kind"] == "CronJob":
            yield item["metadata"]["name"], item["spec"]["jobTemplate"]["spec"]["template"]


def selects(selector: Object, template: Object) -> bool:
    labels = template["metadata"]["labels"]
    return all(labels.get(name) == value for name, value in selector.items())


@pytest.mark.parametrize("overlay", SERVING)
def test_selectors_ports_and_references_meet(overlay: str) -> None:
    items = objects(f"overlays/{overlay}")
    deployment, service = find(items, "Deployment", "maas-api"), find(items, "Service", "maas-api")
    template = deployment["spec"]["template"]
    container = template["spec"]["containers"][0]
    named = {port["name"]: port["containerPort"] for port in container["ports"]}

    assert selects(deployment["spec"]["selector"]["matchLabels"], template)
    assert selects(service["spec"]["selector"], template)
    assert selects(find(items, "PodDisruptionBudget", "maas-api")["spec"]["selector"]["matchLabels"], template)
    assert {port["targetPort"]: port["port"] for port in service["spec"]["ports"]} == named
    assert {container[probe]["httpGet"]["port"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")} == {
        "https"
    }
    route = find(items, "HTTPRoute", "maas-api-route")
    assert {(ref["name"], ref["port"]) for rule in route["spec"]["rules"] for ref in rule["backendRefs"]} == {
        ("maas-api", 8443)
    }
    where = service["metadata"]["namespace"]
    rule = find(items, "DestinationRule", f"maas-api-backend-tls.{where}")
    assert rule["spec"]["host"] == f"maas-api.{where}.svc.cluster.local"
    assert rule["metadata"]["namespace"] == route["spec"]["parentRefs"][0]["namespace"]
    assert rule["spec"]["trafficPolicy"]["portLevelSettings"][0]["port"]["number"] == 8443


@pytest.mark.parametrize("overlay", [*SERVING, "swap-image"])
def test_every_binding_joins_a_role_and_an_account_that_exist(overlay: str) -> None:
    items = objects(f"overlays/{overlay}")
    # The swap finds the account of the Deployment it is made for.
    accounts = names(items, "ServiceAccount") if overlay in SERVING else {("opendatahub", "maas-api")}
    bound = set()
    for item in items:
        if not item["kind"].endswith("RoleBinding") and item["kind"] != "ClusterRoleBinding":
            continue
        role = item["roleRef"]
        namespace = item["metadata"].get("namespace", "") if role["kind"] == "Role" else ""
        assert (namespace, role["name"]) in names(items, role["kind"])
        bound.add((role["kind"], namespace, role["name"]))
        assert {(subject["namespace"], subject["name"]) for subject in item["subjects"]} <= accounts
    roles = {(kind, *name) for kind in ("Role", "ClusterRole") for name in names(items, kind)}
    assert roles == bound, "a role that nobody has is a mistake"


@pytest.mark.parametrize("overlay", SERVING)
def test_every_mounted_secret_and_configmap_is_one_the_documentation_names(overlay: str) -> None:
    found = set()
    for _, template in pods(objects(f"overlays/{overlay}")):
        for volume in template["spec"].get("volumes", ()):
            if "secret" in volume:
                found.add(volume["secret"]["secretName"])
            elif "configMap" in volume:
                found.add(volume["configMap"]["name"])
            else:
                assert volume["emptyDir"] == {"medium": "Memory", "sizeLimit": "64Mi"}
    made_by_openshift = {"maas-api-serving-cert", "openshift-service-ca.crt"}
    assert found - made_by_openshift == {"maas-db-config"}
    assert bool(found & made_by_openshift) == (overlay == "openshift")


@pytest.mark.parametrize("overlay", SERVING)
def test_every_pod_keeps_to_the_restricted_profile(overlay: str) -> None:
    """Pod Security Standards, profile restricted, and what this project adds: nothing is written to the root."""
    seen = []
    for name, template in pods(objects(f"overlays/{overlay}")):
        seen.append(name)
        spec = template["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert "runAsUser" not in spec["securityContext"], "OpenShift chooses the user"
        for forbidden in ("hostNetwork", "hostPID", "hostIPC"):
            assert forbidden not in spec
        for container in (*spec["containers"], *spec.get("initContainers", ())):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert "memory" in container["resources"]["limits"]
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        assert {kind for volume in spec.get("volumes", ()) for kind in volume} <= {
            "name",
            "secret",
            "configMap",
            "emptyDir",
        }
    assert seen == ["maas-api", "maas-api-key-cleanup"]


@pytest.mark.parametrize("overlay", SERVING)
def test_the_pod_outlives_its_last_requests(overlay: str) -> None:
    template = find(objects(f"overlays/{overlay}"), "Deployment", "maas-api")["spec"]["template"]
    env = {item["name"]: item.get("value") for item in template["spec"]["containers"][0]["env"]}
    before = template["spec"]["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    graceful = int(env.get("GRACEFUL_TIMEOUT_SECONDS", "15"))
    assert template["spec"]["terminationGracePeriodSeconds"] >= before + graceful + 5


@pytest.mark.parametrize("overlay", SERVING)
def test_the_cleanup_job_can_reach_the_service_and_nothing_else(overlay: str) -> None:
    items = objects(f"overlays/{overlay}")
    job = find(items, "CronJob", "maas-api-key-cleanup")["spec"]["jobTemplate"]["spec"]["template"]
    api = find(items, "Deployment", "maas-api")["spec"]["template"]
    assert job["spec"]["automountServiceAccountToken"] is False
    assert "https://maas-api.$(NAMESPACE).svc:8443" in job["spec"]["containers"][0]["args"]

    own = find(items, "NetworkPolicy", "maas-api-key-cleanup")["spec"]
    assert selects(own["podSelector"]["matchLabels"], job)
    assert set(own["policyTypes"]) == {"Ingress", "Egress"}
    assert "ingress" not in own
    to_service, names_alone = own["egress"]
    assert selects(to_service["to"][0]["podSelector"]["matchLabels"], api)
    assert [port["port"] for port in to_service["ports"]] == [8443]
    assert {port["port"] for port in names_alone["ports"]} == {53, 5353}

    theirs = find(items, "NetworkPolicy", "maas-api")["spec"]
    assert selects(theirs["podSelector"]["matchLabels"], api)
    callers = [peer for rule in theirs["ingress"] if rule["ports"][0]["port"] == 8443 for peer in rule["from"]]
    assert any("namespaceSelector" not in peer and selects(peer["podSelector"]["matchLabels"], job) for peer in callers)


@pytest.mark.parametrize("overlay", SERVING)
def test_only_named_callers_reach_the_service(overlay: str) -> None:
    """It believes the identity headers of whoever reaches it: no rule is open, none admits a whole namespace."""
    items = objects(f"overlays/{overlay}")
    policy = find(items, "NetworkPolicy", "maas-api")["spec"]
    assert policy["policyTypes"] == ["Ingress"]
    gateway = find(items, "HTTPRoute", "maas-api-route")["spec"]["parentRefs"][0]
    by_port: dict[int, list[Any]] = {}
    for rule in policy["ingress"]:
        assert rule["from"], "a rule without peers admits everyone"
        (port,) = rule["ports"]
        by_port.setdefault(port["port"], []).extend(rule["from"])
    assert by_port.keys() == {8443, 9090}
    assert all(peer.get("podSelector", {}).get("matchLabels") for peer in by_port[8443])
    assert by_port[8443][0] == {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": gateway["namespace"]}},
        "podSelector": {"matchLabels": {"gateway.networking.k8s.io/gateway-name": gateway["name"]}},
    }


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_deleting_an_overlay_deletes_no_namespace_and_what_is_shared_bears_the_installations_name(overlay: str) -> None:
    """A Namespace takes every Secret in it with it; a ClusterRole of a plain name is the other installation's too."""
    items = objects(f"overlays/{overlay}")
    own = {place for place, name in names(items, "Role") if name == "maas-api-registry"}
    for item in items:
        name, namespace = item["metadata"]["name"], item["metadata"].get("namespace")
        assert item["kind"] not in ("Namespace", "CustomResourceDefinition")
        assert ".NAMESPACE" not in yaml.safe_dump(item), "the transformer ../../names belongs to every overlay"
        if namespace is None or (namespace not in own and item["kind"].endswith(("Role", "Binding"))):
            assert name.endswith(tuple(f".{place}" for place in own)), f"{item['kind']} {name}"


def test_in_another_namespace_the_gateway_asks_the_service_that_is_there(tmp_path: Path) -> None:
    """The OpenShift overlay's parts in a namespace of one's own: nothing of them points to the usual place."""
    where = {
        "resources": [os.path.relpath(PATCHES / "base", tmp_path), "destinationrule.yaml"],
        "components": [
            os.path.relpath(PATCHES / "components" / name, tmp_path) for name in ("kuadrant", "subscriptions")
        ],
        "namespace": "elsewhere",
        "transformers": [os.path.relpath(PATCHES / "names", tmp_path)],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(where))
    rule = (PATCHES / "overlays/openshift/destinationrule.yaml").read_text()
    (tmp_path / "destinationrule.yaml").write_text(rule)
    built = kubectl("kustomize", "--load-restrictor", "LoadRestrictionsNone", str(tmp_path))
    items = list(yaml.safe_load_all(built))
    assert "maas-api.opendatahub." not in built
    policy = find(items, "AuthPolicy", "maas-api-auth-policy")["spec"]["rules"]
    asked = policy["metadata"]["apiKeyValidation"]["http"]["url"]
    assert asked.startswith("https://maas-api.elsewhere.svc.cluster.local:8443/internal/")
    host = find(items, "DestinationRule", "maas-api-backend-tls.elsewhere")["spec"]["host"]
    assert host == "maas-api.elsewhere.svc.cluster.local"
    assert {who["namespace"] for item in items for who in item.get("subjects", ())} == {"elsewhere"}


SWITCHES = {
    "inferenceservices": ("source_inferenceservices", "auto", "inferenceservices"),
    "maasmodelrefs": ("source_maasmodelrefs", "auto", "maasmodelrefs"),
    "live-groups-openshift": ("live_groups", "openshift", "groups"),
    "live-groups-configmap": ("live_groups", "configmap", "configmaps"),
}
"""Component -> option, its value, what may be read for it."""


@pytest.mark.parametrize("component", SWITCHES)
def test_a_switch_comes_with_the_right_that_it_needs(component: str, tmp_path: Path) -> None:
    """Components that turn on a kind: with one on top, the roles are still exactly what the service uses."""
    where = {
        "resources": [os.path.relpath(PATCHES / "base", tmp_path)],
        "components": [os.path.relpath(PATCHES / "components" / component, tmp_path)],
        "transformers": ["ns.yaml", os.path.relpath(PATCHES / "names", tmp_path)],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(where))
    (tmp_path / "ns.yaml").write_text((PATCHES / "overlays/istio/namespace-transformer.yaml").read_text())
    built = kubectl("kustomize", "--load-restrictor", "LoadRestrictionsNone", str(tmp_path))
    items = list(yaml.safe_load_all(built))
    assert [complaint for item in items for complaint in complaints(item)] == []
    chosen = config.load({}, environment(find(items, "Deployment", "maas-api"), tmp_path))
    switch, value, resource = SWITCHES[component]
    assert getattr(chosen, switch) == value
    used = {
        (right.group, right.resource, verb, right.namespace, right.name)
        for right in permissions.needed(chosen)
        for verb in right.verbs
    }
    assert granted(items) == used
    assert any(right[1] == resource for right in used)


def test_the_reader_finds_no_two_objects_of_one_name() -> None:
    for folder in BUILDABLE:
        keys = [(item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]) for item in objects(folder)]
        assert len(keys) == len(set(keys))


def test_yaml_that_is_read_is_yaml_that_is_meant() -> None:
    """No value in the sources changes its type on the way: every environment variable is text."""
    for folder in SERVING:
        for _, template in pods(objects(f"overlays/{folder}")):
            for container in template["spec"]["containers"]:
                assert all(isinstance(item.get("value", ""), str) for item in container.get("env", ()))
    for path in PATCHES.rglob("*.yaml"):
        assert list(yaml.safe_load_all(path.read_text())), path
