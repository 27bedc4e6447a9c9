"""The rendered resources that count calls: what an API server takes, and that each part finds the next."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
import yaml

from maas_api.gateway.envoy import model_name
from maas_api.gateway.manifests import OptionError, Options, mesh_values, render, to_yaml
from maas_api.gateway.manifests.collector import BATCH_RECORDS, configuration
from maas_api.gateway.quota import SAID
from maas_api.usage import otlp, record
from tests.support.kubernetes import ROOT, Object, complaints
from tests.support.manifests import TARGETS

Auth = Any
WAYS = [("kuadrant", "filter"), ("istio", "filter"), ("istio", "telemetry")]


def items(auth: Auth, metering: Auth, **more: Any) -> list[Object]:
    options = Options(auth=auth, metering=metering, gateway_namespace="edge", **more)
    return render(options, [TARGETS["openai"], TARGETS["anthropic"]])


def named(found: list[Object], kind: str, name: str) -> Object:
    (item,) = (item for item in found if (item["kind"], item["metadata"]["name"]) == (kind, name))
    return item


@pytest.mark.parametrize(("auth", "metering"), WAYS)
def test_every_resource_is_what_an_api_server_takes_as_it_is(auth: str, metering: str) -> None:
    found = items(auth, metering, one_url=True)
    known = [item for item in found if item["kind"] != "Telemetry"]  # its definition is in no folder here
    assert [complaint for item in known for complaint in complaints(item)] == []
    assert list(yaml.safe_load_all(to_yaml(found))) == found


@pytest.mark.parametrize(("auth", "metering"), WAYS)
def test_what_is_rendered_is_what_was_reviewed(auth: str, metering: str) -> None:
    """The resources that counting adds are kept for reading; MAAS_UPDATE_GOLDEN=1 renews them."""
    options: Any = {"auth": auth, "gateway_namespace": "edge"}
    plain = render(Options(**options), [TARGETS["openai"]])
    found = render(Options(**options, metering=metering), [TARGETS["openai"]])
    text = to_yaml([item for item in found if item not in plain])
    path = ROOT / "tests" / "golden" / "gateway" / f"metering-{auth}-{metering}.yaml"
    if os.environ.get("MAAS_UPDATE_GOLDEN"):
        path.write_text(text)
    assert path.read_text() == text


def test_nothing_of_it_is_there_unless_asked_for() -> None:
    found = [*items("istio", "off", one_url=True), *items("kuadrant", "off", one_url=True)]
    assert [item["metadata"]["name"] for item in found if "usage" in item["metadata"]["name"]] == []
    assert "maas.usage" not in to_yaml(found)
    assert "INCLUDE_USAGE = true" not in to_yaml(found)
    assert "x-maas-metered" not in json.dumps(mesh_values("maas-api.maas-api.svc", 8443, "authz"))


@pytest.mark.parametrize(("auth", "metering"), WAYS)
def test_the_log_finds_the_collector_and_the_collector_maas_api(auth: str, metering: str) -> None:
    found = items(auth, metering, service="api.models.svc", port=9443)
    service = named(found, "Service", "maas-usage-collector")
    host = f"maas-usage-collector.{service['metadata']['namespace']}.svc.cluster.local"
    assert host == "maas-usage-collector.models.svc.cluster.local"
    if metering == "filter":
        text = json.dumps(named(found, "EnvoyFilter", "maas-default-gateway-usage"))
        assert f'"address": "{host}", "port_value": 4317' in text
    else:
        values = mesh_values("api.models.svc.cluster.local", 9443, "authz", metering="telemetry")
        log = values["meshConfig"]["extensionProviders"][1]
        assert (log["envoyOtelAls"]["service"], log["envoyOtelAls"]["port"]) == (host, 4317)
        telemetry = named(found, "Telemetry", "maas-default-gateway-usage")
        assert telemetry["spec"]["accessLogging"][0]["providers"] == [{"name": log["name"]}]
    pod = named(found, "Deployment", "maas-usage-collector")["spec"]["template"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert service["spec"]["ports"][0]["targetPort"] in {item["name"] for item in pod["spec"]["containers"][0]["ports"]}
    config = yaml.safe_load(named(found, "ConfigMap", "maas-usage-collector")["data"]["config.yaml"])
    exporter = config["exporters"]["otlphttp"]
    assert exporter["logs_endpoint"] == "https://api.models.svc.cluster.local:9443/internal/v1/usage"


def test_the_collector_keeps_and_repeats_what_was_not_taken() -> None:
    config = configuration(Options())
    exporter = config["exporters"]["otlphttp"]
    queue = exporter["sending_queue"]
    assert exporter["retry_on_failure"]["enabled"]
    assert exporter["retry_on_failure"]["max_elapsed_time"] == "0s", "never given up"
    assert queue["storage"] in config["service"]["extensions"]
    assert queue["batch"]["max_size"] == BATCH_RECORDS <= otlp.RECORDS_MAX
    assert "processors" not in config, "a batch made before the queue would be made anew after a restart"
    assert exporter["headers"] == {"X-MaaS-Internal-Secret": "${env:MAAS_USAGE_SECRET}"}


def test_the_secret_is_in_no_resource_but_by_reference() -> None:
    pod = named(items("istio", "filter"), "Deployment", "maas-usage-collector")["spec"]["template"]["spec"]
    (variable,) = pod["containers"][0]["env"]
    assert variable == {
        "name": "MAAS_USAGE_SECRET",
        "valueFrom": {"secretKeyRef": {"name": "maas-api-usage", "key": "secret"}},
    }


def test_only_the_gateway_reaches_the_collector() -> None:
    found = items("istio", "filter")
    (rule,) = named(found, "NetworkPolicy", "maas-usage-collector")["spec"]["ingress"]
    (source,) = rule["from"]
    assert source["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "edge"}
    assert source["podSelector"]["matchLabels"] == {"gateway.networking.k8s.io/gateway-name": "maas-default-gateway"}


def test_what_a_call_is_counted_under_is_said_by_the_authorizer_alone() -> None:
    """A client's own is dropped before any policy looks, the authorizer's before any model does."""
    for name in SAID.values():
        assert f'"{name}"' in model_name.source()
    (check, *_) = mesh_values("maas-api.x.svc", 8443, "authz", metering="filter")["meshConfig"]["extensionProviders"]
    assert {*SAID.values()} <= {*check["envoyExtAuthzHttp"]["headersToUpstreamOnAllow"]}
    (policy,) = (item for item in items("kuadrant", "filter") if item["metadata"]["name"] == "openai-bridge-auth")
    said = {item["key"] for item in policy["spec"]["rules"]["response"]["success"]["headers"].values()}
    assert said == {*SAID.values()} - {SAID[record.HELD]}, "Kuadrant asks nobody for a budget"


def test_literal_provider_keys_leave_answers_packed_so_nothing_could_be_counted() -> None:
    with pytest.raises(OptionError, match="metering: needs the providers' keys in the Secret"):
        Options(metering="filter", provider_keys="literal")
