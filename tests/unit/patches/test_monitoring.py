"""Dashboard and alerts ask for metrics, labels and label values that the service has."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from maas_api.observability import metrics
from maas_api.observability.instruments import Histogram
from tests.support.kubernetes import objects

FOLDER = Path(__file__).parents[3] / "patches" / "monitoring"
SCRAPE_LABELS = {"job", "pod", "namespace", "le", "tenant_name"}
"""Labels that the scrape, the histogram or the exposition adds."""


def names() -> dict[str, tuple[str, ...]]:
    """Every sample name with its own labels."""
    found: dict[str, tuple[str, ...]] = {}
    for item in metrics.table():
        if isinstance(item, Histogram):
            found |= {item.name + suffix: item.label_names for suffix in ("_bucket", "_sum", "_count")}
            if item.counted_as:
                found[item.counted_as[0]] = item.label_names
        else:
            found[item.name] = item.label_names
    return found


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text())
    return loaded


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((FOLDER / "rules.yaml").read_text())["spec"]["groups"]
    listed: list[dict[str, Any]] = group["rules"]
    return listed


def expressions() -> Iterator[tuple[str, str]]:
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield f"panel {panel['title']}", target["expr"]
    for rule in rules():
        yield f"alert {rule['alert']}", rule["expr"]


ALL = list(expressions())


@pytest.mark.parametrize(("where", "expression"), ALL, ids=[where for where, _ in ALL])
def test_every_expression_asks_for_what_exists(where: str, expression: str) -> None:
    known = names()
    used = re.findall(r"\b((?:maas_api|sar_cache|process)_\w+)(?:\{([^}]*)\})?", expression)
    assert used, where
    labels: set[str] = set()
    for name, matchers in used:
        assert name in known, f"{where}: no metric {name}"
        labels |= set(known[name])
        for label, value in re.findall(r'(\w+)\s*=~?\s*"([^"]*)"', matchers):
            assert label in {*known[name], *SCRAPE_LABELS}, f"{where}: {name} has no label {label}"
            _known_value(name, label, value)
    for grouped in re.findall(r"by \(([^)]*)\)", expression):
        for label in grouped.split(","):
            assert label.strip() in labels | SCRAPE_LABELS, f"{where}: nothing has the label {label.strip()}"
    assert expression.count("(") == expression.count(")")


@cache
def declared() -> dict[str, list[list[str]]]:
    """The label values that the name table lists, by metric; in a process of its own, where nobody has counted yet."""
    code = (
        "import json; from maas_api.observability import metrics;"
        "print(json.dumps({item.name: [list(labels) for labels, _ in item.series()] for item in metrics.table()}))"
    )
    found: dict[str, list[list[str]]] = json.loads(subprocess.check_output([sys.executable, "-c", code]))
    return found


def _known_value(name: str, label: str, value: str) -> None:
    """Label values that are listed in the name table must be among them."""
    for item in metrics.table():
        if item.name == name and label in item.label_names and "." not in value:
            place = item.label_names.index(label)
            listed = {labels[place] for labels in declared()[name]}
            unknown = set(value.split("|")) - listed
            assert not listed or not unknown or label == "reason", f"{name}: {label} is never {unknown}"


def test_every_metric_of_ours_is_shown_somewhere() -> None:
    shown = " ".join(expression for _, expression in ALL)
    unseen = {name for name in names() if not name.endswith(("_sum", "_count", "_bucket")) and name not in shown}
    assert unseen <= {"maas_api_watch_objects", "process_start_time_seconds"}


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert len(rule["annotations"]["description"]) > 40
        assert rule["annotations"]["summary"]


def sections() -> dict[str, str]:
    """The runbook's sections by their headings, in order."""
    page = (FOLDER.parents[1] / "docs" / "runbook.md").read_text()
    _, *parts = re.split(r"^## ", page, flags=re.MULTILINE)
    return {part.partition("\n")[0]: part for part in parts}


def test_the_runbook_has_one_heading_for_each_alert_in_their_order() -> None:
    assert list(sections()) == [rule["alert"] for rule in rules()]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_leads_to_its_steps_and_they_are_about_what_it_measures(rule: dict[str, Any]) -> None:
    assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{rule['alert'].lower()}"
    steps = sections()[rule["alert"]]
    assert "**Effect.**" in steps
    assert "**Do.**" in steps
    for name in re.findall(r"\bmaas_api_\w+", rule["expr"]):
        assert re.sub(r"_(bucket|sum|count)$", "", name) in steps


def test_panels_have_places_of_their_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


def test_it_can_be_applied_as_it_is() -> None:
    built = {item["kind"]: item for item in objects("monitoring")}
    assert set(built) == {"ServiceMonitor", "PrometheusRule", "ConfigMap"}
    assert built["ConfigMap"]["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(built["ConfigMap"]["data"]["dashboard.json"])["uid"] == "maas-api"


def test_the_documentation_lists_every_metric_with_its_own_sentence() -> None:
    page = (FOLDER.parents[1] / "docs" / "operate.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| (?:counter|gauge|histogram) \| [^|]*\| (.*) \|$", page, re.MULTILINE))
    expected = {item.name: item.help for item in metrics.table()}
    expected |= {
        item.counted_as[0]: item.counted_as[1]
        for item in metrics.table()
        if isinstance(item, Histogram) and item.counted_as
    }
    assert rows == expected
