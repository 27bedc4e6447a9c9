"""A new key's allow-list beside the catalog, and the option for clients that send fields nobody knows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from maas_api.app import build
from maas_api.config import load
from tests.support.serving import serving
from tests.support.wait import until

MODELS = [
    {"id": "gpt-4o", "provider": "openai"},
    {"id": "fast", "provider": "openai", "targetModel": "gpt-4o-mini"},
    {"id": "board", "provider": "openai", "groups": ["board"]},
]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder: Path = tmp_path_factory.mktemp("warnings")
    (folder / "manifests").mkdir()
    registry = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "external-model-registry", "namespace": "maas-api"},
        "data": {"models": json.dumps(MODELS)},
    }
    (folder / "manifests" / "registry.yaml").write_text(yaml.safe_dump(registry))
    flags = {
        "sqlite_path": str(folder / "keys.db"),
        "manifests": str(folder / "manifests"),
        "kubernetes": "off",
        "default_subscription": "default",
        "mint_unknown_fields": "ignore",
    }
    caller = {"X-MaaS-Username": "ann", "X-MaaS-Group": '["team"]'}
    with serving(build(load(flags, {}))) as base, httpx.Client(base_url=base, headers=caller) as made:
        until(lambda: made.get("/readyz").status_code == 200, what="the service is ready")
        yield made


def mint(client: httpx.Client, **fields: Any) -> dict[str, Any]:
    answer = client.post("/v1/api-keys", json={"name": "n", **fields})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_patterns_that_open_nothing_are_told_and_the_key_is_made(client: httpx.Client) -> None:
    made = mint(client, models=["gpt-4o", "gpt-5*", "board", "gpt-4o-m*"])
    assert made["warnings"] == [
        "models: 'gpt-5*' matches no model that you may call now",
        "models: 'board' matches no model that you may call now",
    ]
    assert made["models"] == ["gpt-4o", "gpt-5*", "board", "gpt-4o-m*"]


@pytest.mark.parametrize("models", [None, ["gpt-4o"], ["*"]])
def test_where_each_opens_something_nothing_is_said(client: httpx.Client, models: list[str] | None) -> None:
    assert "warnings" not in mint(client, models=models)


def test_an_option_ignores_unknown_fields_as_the_go_service_does(client: httpx.Client) -> None:
    assert "models" not in mint(client, model=["gpt-4o"])
