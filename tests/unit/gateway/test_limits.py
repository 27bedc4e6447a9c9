"""Rates of under an hour: what may be asked for, and what the rate limit service is given."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from maas_api.cli import main
from maas_api.gateway.manifests import OptionError, Options, render
from maas_api.gateway.manifests.limits import Rate, rate, service_configuration
from tests.support.kubernetes import complaints
from tests.support.manifests import TARGETS
from tests.support.rls import RateLimitService


def limit_of(rates: list[Rate], **entries: str) -> Any:
    """What a service so configured allows."""
    return RateLimitService(service_configuration(rates)).limit("maas", entries)


ANY = rate("tokens", 100, "1m")
GOLD = rate("tokens", 900, "1m", "gold", "big")


@pytest.mark.parametrize(
    ("subscription", "model", "allowed"),
    [("gold", "big", 900), ("gold", "other", 100), ("silver", "big", 100), ("none", "x", 100)],
)
def test_what_is_named_counts_before_what_is_for_all_and_nothing_is_left_out(
    subscription: str, model: str, allowed: int
) -> None:
    found = limit_of([ANY, GOLD], kind="tokens", subscription=subscription, model=model, user="ann")
    assert found == {"unit": "minute", "requests_per_unit": allowed}


def test_requests_and_tokens_are_counted_apart() -> None:
    rates = [rate("requests", 3, "1s"), GOLD]
    who = {"subscription": "gold", "model": "big", "user": "ann"}
    assert limit_of(rates, kind="requests", **who) == {"unit": "second", "requests_per_unit": 3}
    assert limit_of(rates, kind="tokens", **who) == {"unit": "minute", "requests_per_unit": 900}
    assert limit_of(rates, kind="tokens", subscription="x", model="y", user="ann") is None


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        (
            ("tokens", 5, "5m"),
            "rate-limit: the rate limit service counts by the second (1s) and the minute (1m), got '5m'",
        ),
        (("tokens", 5, "1h"), "hours and more are budgets of keys"),
        (("tokens", 5, "soon"), "rate-limit: must have a window such as 1s or 1m, got 'soon'"),
        (("tokens", 0, "1m"), "rate-limit: must allow 1 to 4294967295 tokens, got 0"),
        (("words", 5, "1m"), "rate-limit: must be of requests or tokens, got 'words'"),
    ],
)
def test_a_rate_that_the_service_cannot_keep_is_refused_with_the_rule(given: Any, rule: str) -> None:
    with pytest.raises(OptionError, match=re.escape(rule)):
        rate(*given)


def test_two_rates_of_one_thing_are_refused() -> None:
    with pytest.raises(OptionError, match="tokens of big in gold has two"):
        service_configuration([GOLD, rate("tokens", 5, "1s", "gold", "big")])


def test_rates_need_who_counts_and_who_knows_the_caller() -> None:
    openai = TARGETS["openai"]
    with pytest.raises(OptionError, match="rate-limit: needs --rate-limit-service"):
        render(Options(), [openai], {}, [ANY])
    with pytest.raises(OptionError, match="rate-limit-service: needs --metering"):
        render(Options(rate_limit_service=("a.b.svc", 8081)), [openai])


def test_what_is_rendered_asks_the_service_that_was_named() -> None:
    options = Options(auth="istio", metering="filter", rate_limit_service=("limits.models.svc", 8081))
    found = [
        item for item in render(options, [TARGETS["openai"]], {}, [ANY]) if "rate-limit" in item["metadata"]["name"]
    ]
    assert [item["kind"] for item in found] == ["ConfigMap", "EnvoyFilter"]
    assert [complaint for item in found for complaint in complaints(item)] == []
    assert yaml.safe_load(found[0]["data"]["config.yaml"]) == service_configuration([ANY])
    text = json.dumps(found[1])
    assert '"address": "limits.models.svc", "port_value": 8081' in text
    assert text.count("x-maas-metered-user") == 3


SUBSCRIPTIONS = """
apiVersion: maas.opendatahub.io/v1alpha1
kind: MaaSSubscription
metadata: {name: gold, namespace: models-as-a-service}
spec:
  owner: {groups: [{name: staff}]}
  modelRefs:
    - namespace: llm
      name: gpt
      tokenRateLimits: [{limit: 5000, window: 1m}, {limit: 100000, window: 24h}]
    - namespace: llm
      name: local
      tokenRateLimits: [{limit: 70, window: 1s}]
    - namespace: llm
      name: odd
      tokenRateLimits: [{limit: 70, window: 30s}]
---
apiVersion: maas.opendatahub.io/v1alpha1
kind: MaaSModelRef
metadata: {name: gpt, namespace: llm}
spec: {modelRef: {kind: ExternalModel, name: gpt-4o-mini}}
"""


def run(*more: str) -> Any:
    call = ["gateway", "render", "--provider", "openai", "--metering", "filter", *more]
    return CliRunner().invoke(main, call)


def test_limits_of_subscriptions_are_rendered_where_they_are_shorter_than_an_hour(tmp_path: Path) -> None:
    file = tmp_path / "subscriptions.yaml"
    file.write_text(SUBSCRIPTIONS)
    result = run("--rate-limit-service", "limits.models.svc:8081", "--subscriptions", str(file))
    assert result.exit_code == 0, result.output
    (config,) = (item for item in yaml.safe_load_all(result.stdout) if item["metadata"]["name"] == "maas-rate-limits")
    rates = [rate("tokens", 5000, "1m", "gold", "gpt-4o-mini"), rate("tokens", 70, "1s", "gold", "local")]
    assert yaml.safe_load(config["data"]["config.yaml"]) == service_configuration(rates)
    assert "gold, llm/odd: rate-limit: the rate limit service counts by the second" in result.stderr
    assert "24h" not in result.stderr, "the service's own"


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        (("--rate-limit-service", "nowhere"), "--rate-limit-service: must be HOST:PORT, got 'nowhere'"),
        (("--rate-limit-service", "a:0"), "--rate-limit-service: must be HOST:PORT"),
        (("--rate-limit", "60/1m"), "--rate-limit: must be '60 requests/1m' or '100000 tokens/1m', got '60/1m'"),
    ],
)
def test_what_cannot_be_is_refused_with_its_rule(given: tuple[str, ...], rule: str) -> None:
    result = run(*given)
    assert result.exit_code == 2
    assert rule in result.output
