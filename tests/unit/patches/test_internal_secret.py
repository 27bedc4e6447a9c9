"""The component that adds a shared secret to the callback: everyone who asks /internal shows it, nobody else has it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from maas_api import config
from maas_api.edge.guard import InternalGuard
from tests.support.kubernetes import PATCHES, Object, complaints, environment, find, kubectl

SECRET = "maas-api-internal"


@pytest.fixture
def items(tmp_path: Path) -> list[Object]:
    """The OpenShift overlay with the component on top."""
    where = {
        "resources": [os.path.relpath(PATCHES / "overlays/openshift", tmp_path)],
        "components": [os.path.relpath(PATCHES / "components/internal-secret", tmp_path)],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(where))
    built = kubectl("kustomize", "--load-restrictor", "LoadRestrictionsNone", str(tmp_path))
    return list(yaml.safe_load_all(built))


def mounted(template: Object, secret: str) -> str:
    """Where a pod's first container has a Secret, as the path of its key ``secret``."""
    (volume,) = (item for item in template["spec"]["volumes"] if item.get("secret", {}).get("secretName") == secret)
    (container,) = template["spec"]["containers"]
    (mount,) = (item for item in container["volumeMounts"] if item["name"] == volume["name"])
    assert mount["readOnly"] is True
    assert volume["secret"]["items"] == [{"key": "secret", "path": "secret"}]
    path: str = mount["mountPath"] + "/secret"
    return path


def test_what_it_makes_is_what_an_api_server_takes(items: list[Object]) -> None:
    assert [complaint for item in items for complaint in complaints(item)] == []


def test_the_service_asks_for_it(items: list[Object], tmp_path: Path) -> None:
    deployment = find(items, "Deployment", "maas-api")
    env = environment(deployment, tmp_path / "root")
    chosen = config.load({}, env)
    path = mounted(deployment["spec"]["template"], SECRET)
    assert chosen.internal_secret_file == tmp_path / "root" / path.lstrip("/")


def test_the_cleanup_job_shows_it(items: list[Object]) -> None:
    template = find(items, "CronJob", "maas-api-key-cleanup")["spec"]["jobTemplate"]["spec"]["template"]
    (container,) = template["spec"]["containers"]
    assert f"--internal-secret-file={mounted(template, SECRET)}" in container["args"]
    assert "--ca-file" in container["args"], "what the overlay said stays"


def test_the_callback_shows_it_in_the_header_that_the_service_reads(items: list[Object]) -> None:
    http = find(items, "AuthPolicy", "maas-api-auth-policy")["spec"]["rules"]["metadata"]["apiKeyValidation"]["http"]
    assert http["sharedSecretRef"] == {"name": SECRET, "key": "secret"}
    header = http["credentials"]["customHeader"]["name"].lower().encode()
    guard = InternalGuard(b"knock")
    assert guard.refuse("/internal/v1/api-keys/validate", [(header, b"knock")]) is None
    assert guard.refuse("/internal/v1/api-keys/validate", [(header, b"knocks")]) is not None
