"""The manifests start the service with options it takes, and with the rights those options need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from maas_api import config
from maas_api.config import Settings
from maas_api.kube import permissions
from tests.support.dockerfile import stages
from tests.support.kubernetes import PATCHES, ROOT, Object, complaints, environment, find, objects
from tests.support.rbac import Right, granted
from tests.unit.patches.existing import deployment as existing

SERVING = ["openshift", "istio"]


def settings(deployment: Object, folder: Path) -> Settings:
    """What the service makes of the image's variables and the Deployment's."""
    image = stages((ROOT / "Dockerfile").read_text())[-1].environment()
    return config.load({}, {**image, **environment(deployment, folder)})


def installed(overlay: str) -> Object:
    return find(objects(f"overlays/{overlay}"), "Deployment", "maas-api")


def swapped() -> Object:
    """The Go service's Deployment with the swap's patch on it."""
    patch = (PATCHES / "overlays/swap-image/deployment-patch.yaml").read_text()
    return existing(patch)


@pytest.mark.parametrize("overlay", SERVING)
def test_every_variable_is_an_option_and_its_value_is_accepted(overlay: str, tmp_path: Path) -> None:
    env = environment(installed(overlay), tmp_path)
    known = {item["env"] for item in (field.metadata for field in Settings.__dataclass_fields__.values())}
    assert env.keys() <= known
    chosen = settings(installed(overlay), tmp_path)
    assert chosen.tls
    assert chosen.bind == ("0.0.0.0", 8443)
    assert chosen.metrics_bind == ("0.0.0.0", 9090)
    assert chosen.keep_alive > 90
    assert chosen.namespace == {"openshift": "opendatahub", "istio": "maas-api"}[overlay]


@pytest.mark.parametrize("overlay", SERVING)
def test_the_service_watches_the_gateway_that_its_route_hangs_on(overlay: str, tmp_path: Path) -> None:
    chosen = settings(installed(overlay), tmp_path)
    (parent,) = find(objects(f"overlays/{overlay}"), "HTTPRoute", "maas-api-route")["spec"]["parentRefs"]
    assert (chosen.gateway_name, chosen.gateway_namespace) == (parent["name"], parent["namespace"])


def used(chosen: Settings) -> set[Right]:
    return {
        (right.group, right.resource, verb, right.namespace, right.name)
        for right in permissions.needed(chosen)
        for verb in right.verbs
    }


@pytest.mark.parametrize("overlay", SERVING)
def test_the_roles_grant_what_the_service_uses_and_nothing_more(overlay: str, tmp_path: Path) -> None:
    assert granted(objects(f"overlays/{overlay}")) == used(settings(installed(overlay), tmp_path))


def test_the_swap_adds_what_the_existing_role_may_lack(tmp_path: Path) -> None:
    """Subscriptions and policies are in the role the Go service already has."""
    already: set[Right] = {
        ("maas.opendatahub.io", resource, verb, "models-as-a-service", None)
        for resource in ("maassubscriptions", "maasauthpolicies")
        for verb in ("list", "watch")
    }
    chosen = settings(swapped(), tmp_path)
    assert granted(objects("overlays/swap-image")) == used(chosen) - already


def test_no_right_to_write_and_none_to_read_secrets() -> None:
    for overlay in [*SERVING, "swap-image"]:
        for group, resource, verb, _, _ in granted(objects(f"overlays/{overlay}")):
            assert resource != "secrets"
            assert verb in ("list", "watch") or (group.endswith(".k8s.io") and resource.endswith("reviews"))


def test_permissions_follow_the_options() -> None:
    assert permissions.needed(Settings(kubernetes="off")) == ()
    everything: dict[str, Any] = {
        name: "on"
        for name in Settings.__dataclass_fields__
        if name.startswith("source_") or name in ("kubernetes", "admin_check")
    }
    resources = {right.resource for right in permissions.needed(Settings(**everything, token_review=True))}
    assert resources == {
        "llminferenceservices",
        "httproutes",
        "inferenceservices",
        "maasmodelrefs",
        "configmaps",
        "maassubscriptions",
        "maasauthpolicies",
        "subjectaccessreviews",
        "tokenreviews",
    }
    least = Settings(
        kubernetes="on",
        admin_check="off",
        database_secret="maas-db-config",
        **dict.fromkeys((name for name in everything if name.startswith("source_")), "off"),
    )
    (secret,) = permissions.needed(least)
    assert (secret.resource, secret.verbs, secret.namespace, secret.name) == (
        "secrets",
        ("get",),
        "maas-api",
        "maas-db-config",
    )


def test_the_swap_can_be_taken_back() -> None:
    before = existing()
    forward, back = ((PATCHES / "overlays/swap-image" / f"{name}-patch.yaml") for name in ("deployment", "reverse"))
    after = existing(forward.read_text(), back.read_text())
    assert after == before


def test_the_swap_leaves_everything_else_alone() -> None:
    before, after = existing(), swapped()
    old, new = (item["spec"]["template"]["spec"]["containers"][0] for item in (before, after))
    assert new["args"] == ["serve"]
    assert new["image"] != old["image"]
    for kept in ("name", "ports", "livenessProbe", "readinessProbe", "securityContext"):
        assert new[kept] == old[kept]
    kept_env = [item for item in old["env"] if item in new["env"]]
    assert kept_env == old["env"]
    assert before["spec"]["selector"] == after["spec"]["selector"]
    assert "cpu" not in new["resources"]["limits"]


def test_the_swapped_service_accepts_the_variables_of_the_go_service(tmp_path: Path) -> None:
    chosen = settings(swapped(), tmp_path)
    assert chosen.tls
    assert chosen.bind == ("0.0.0.0", 8443)
    assert chosen.database_url_file is not None
    assert chosen.namespace == "opendatahub"


def test_the_swapped_deployment_is_what_an_api_server_takes() -> None:
    assert complaints(swapped()) == []
