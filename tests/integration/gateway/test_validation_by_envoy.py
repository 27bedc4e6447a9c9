"""Envoy's own opinion of generated configurations, of every shape, without running them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from maas_api.demo.certificates import Authority
from maas_api.gateway import envoy
from maas_api.gateway.envoy.secrets import INTERNAL_SECRET, file_name, provider_secret, render_secret
from maas_api.gateway.running import envoy_binary
from maas_api.providers import PROVIDERS, provider

HOSTS = {"vllm": "vllm.example.com", "azure": "resource.openai.azure.com"}


def plan(folder: Path, **changes: Any) -> envoy.Plan:
    ca_file = Authority().write(folder / "ca.pem")
    values: dict[str, Any] = {
        "listen": envoy.Address("127.0.0.1", 0),
        "maas_api": envoy.Upstream.from_url("http://127.0.0.1:8080"),
        "models": tuple(
            envoy.LocalRoute(path_prefix=prefix, upstream=envoy.Upstream.from_url(url, ca_file=ca_file))
            for prefix, url in {
                "/llm/plain/": "http://plain.llm.svc:8000",
                "/llm/tls/": "https://tls.llm.svc/v2/models/tls/",
                "/llm/address/": "https://192.0.2.1:8443",
                "/llm/ipv6.address/": "http://[2001:db8::1]:8000",
            }.items()
        ),
        "providers": tuple(
            envoy.provider_route(provider(name, host=HOSTS.get(name, "")), ca_file=ca_file) for name in (*PROVIDERS,)
        ),
        "internal_secret": True,
    }
    return envoy.Plan(**{**values, **changes})


def verdict(made: envoy.Plan, folder: Path) -> subprocess.CompletedProcess[str]:
    """Everything in one file, because Envoy validates no file that it would only watch."""
    (folder / "secrets").mkdir()
    for name in (INTERNAL_SECRET, *(provider_secret(route.provider.name) for route in made.providers)):
        (folder / file_name(name)).write_text(render_secret(name, "a-key"))
    files = {name: yaml.safe_load(text) for name, text in envoy.render(made, folder).items()}
    bootstrap = files["bootstrap.yaml"]
    clusters, (routes,) = files["clusters.yaml"]["resources"], files["routes.yaml"]["resources"]
    for item in (*clusters, routes):
        del item["@type"]
    del bootstrap["dynamic_resources"]
    bootstrap["static_resources"]["clusters"] = clusters
    manager = bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    del manager["rds"]
    manager["route_config"] = {**routes, "validate_clusters": True}
    (folder / "whole.json").write_text(json.dumps(bootstrap))
    command = [envoy_binary(), "--mode", "validate", "--log-level", "warning", "-c", str(folder / "whole.json")]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    "changes", [{}, {"models": (), "providers": ()}, {"internal_secret": False, "listen": envoy.Address("::1", 8443)}]
)
def test_every_shape_of_a_plan_is_accepted_without_a_warning(tmp_path: Path, changes: dict[str, Any]) -> None:
    found = verdict(plan(tmp_path, **changes), tmp_path)
    assert found.returncode == 0, found.stderr
    assert "OK" in found.stdout + found.stderr
    assert "deprecated" not in found.stderr.lower()


def test_a_broken_one_is_not(tmp_path: Path) -> None:
    made = plan(tmp_path)
    (tmp_path / "ca.pem").write_text("not a certificate")
    found = verdict(made, tmp_path)
    assert found.returncode != 0
    assert "ca.pem" in found.stderr
