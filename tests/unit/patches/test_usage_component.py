"""The component that lets the collector post usage: the service reads the secret that the collector shows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from maas_api import config
from maas_api.gateway.manifests import Options
from tests.support.kubernetes import PATCHES, Object, complaints, environment, find, kubectl


@pytest.mark.parametrize("overlay", ["istio", "openshift"])
def test_the_service_reads_the_secret_that_the_collector_shows(overlay: str, tmp_path: Path) -> None:
    where = {
        "resources": [os.path.relpath(PATCHES / "overlays" / overlay, tmp_path)],
        "components": [os.path.relpath(PATCHES / "components/usage", tmp_path)],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(where))
    built = kubectl("kustomize", "--load-restrictor", "LoadRestrictionsNone", str(tmp_path))
    items: list[Object] = list(yaml.safe_load_all(built))
    deployment = find(items, "Deployment", "maas-api")
    assert complaints(deployment) == []
    chosen = config.load({}, environment(deployment, tmp_path / "root"))
    assert chosen.usage_secret_file == tmp_path / "root/etc/maas-api/usage/secret"
    (volume,) = (item for item in deployment["spec"]["template"]["spec"]["volumes"] if item["name"] == "usage")
    secret = Options().usage_secret
    assert volume["secret"] == {"secretName": secret.name, "items": [{"key": secret.key, "path": "secret"}]}
