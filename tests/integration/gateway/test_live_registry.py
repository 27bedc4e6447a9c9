"""``maas-api gateway render --live``: the registry as the cluster has it now."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from maas_api.cli import main
from tests.support import kubeapi
from tests.support.kubernetes import PATCHES

REGISTRY = PATCHES / "overlays" / "external-models" / "registry.yaml"


@pytest.fixture
def api() -> Iterator[kubeapi.KubeApi]:
    api = kubeapi.KubeApi()
    with kubeapi.running(api):
        yield api


def render(api: kubeapi.KubeApi, folder: Path, *arguments: str) -> Result:
    where = kubeapi.kubeconfig(api, folder)
    return CliRunner().invoke(main, ["gateway", "render", "--kubeconfig", str(where), *arguments])


def test_it_renders_what_the_same_registry_in_a_file_does(api: kubeapi.KubeApi, tmp_path: Path) -> None:
    api.put("configmaps", yaml.safe_load(REGISTRY.read_text()))
    live = render(api, tmp_path, "--live", "opendatahub")
    assert live.exit_code == 0, live.output
    named = render(api, tmp_path, "--live", "opendatahub/external-model-registry")
    file = CliRunner().invoke(main, ["gateway", "render", "--registry", str(REGISTRY)])
    assert live.stdout == named.stdout == file.stdout != ""


@pytest.mark.parametrize(
    ("reference", "rule"),
    [
        ("opendatahub", "has no ConfigMap opendatahub/external-model-registry"),
        ("opendatahub/other", "has no ConfigMap opendatahub/other"),
        ("open data", "must be NAMESPACE or NAMESPACE/NAME"),
        ("../secrets", "must be NAMESPACE or NAMESPACE/NAME"),
        ("a/b/c", "must be NAMESPACE or NAMESPACE/NAME"),
        ("", "must be NAMESPACE or NAMESPACE/NAME"),
    ],
)
def test_one_that_is_not_there_is_named(api: kubeapi.KubeApi, tmp_path: Path, reference: str, rule: str) -> None:
    result = render(api, tmp_path, "--live", reference)
    assert result.exit_code == 2
    assert rule in " ".join(result.stderr.split())


def test_a_cluster_that_refuses_is_said_to(api: kubeapi.KubeApi, tmp_path: Path) -> None:
    api.authorize = lambda method, path, query: False
    result = render(api, tmp_path, "--live", "opendatahub")
    assert result.exit_code == 2
    assert "--live" in result.stderr
    assert "403" in result.stderr


def test_two_registries_are_one_too_many(api: kubeapi.KubeApi, tmp_path: Path) -> None:
    result = render(api, tmp_path, "--live", "opendatahub", "--registry", str(REGISTRY))
    assert result.exit_code == 2
    assert "not from both" in result.stderr
