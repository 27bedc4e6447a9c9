"""``maas-api usage``: the same sums in a terminal, as CSV and as JSON."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from maas_api import migrations
from maas_api.store.database import open_database
from maas_api.usage.otlp import Entry
from maas_api.usage.rollup import fold
from maas_api.usage.statements.ledger import Ledger
from tests.support.otlp import call

TENANT = "models-as-a-service"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two users' calls."""
    url = f"sqlite:///{tmp_path_factory.mktemp('usage') / 'keys.db'}"
    migrations.upgrade(url)
    database = open_database(url)
    at = time.time_ns()
    calls = [call(user="ann"), call(user="ann", model="gpt\x1b[2J"), call(user="bob", usage={}, model="claude")]
    Ledger(database, TENANT).add(fold([Entry(at, attributes) for attributes in calls], b"", time.time()))
    database.stop()
    return url


def run(store: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("maas-api")), "usage", "--database-url", store, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_table_for_people(store: str) -> None:
    done = run(store, "--interval", "total", "--by", "user", "--by", "model")
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["user", "model", "requests", "errors", "unmetered", "input", "cached", "output"]
    assert ["bob", "claude", "1", "0", "1", "0", "0", "0"] in lines
    assert lines[-1] == ["total", "3", "0", "1", "20", "0", "10"]
    assert "\x1b" not in done.stdout


def test_csv_and_json_for_scripts(store: str) -> None:
    rows = list(csv.DictReader(io.StringIO(run(store, "--by", "user", "--user", "ann", "--output", "csv").stdout)))
    assert [(row["user"], row["requests"], row["totalTokens"]) for row in rows] == [("ann", "2", "30")]
    found = json.loads(run(store, "--interval", "total", "--output", "json").stdout)
    assert found["total"]["unmetered"] == 1


def test_a_wrong_question_ends_in_one_sentence(store: str) -> None:
    done = run(store, "--from", "yesterday")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: from: must be a day")


def test_focus_rows_add_up_to_what_is_counted_and_leave_unknown_costs_empty(store: str, tmp_path: Path) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text("- {model: gpt-4o-mini, input: 0.15, output: 0.60, currency: USD}")
    done = run(store, "--output", "focus", "--prices-file", str(prices))
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    priced = {row["ChargeDescription"]: row for row in rows if row["ServiceName"] == "gpt-4o-mini"}
    assert [priced[f"gpt-4o-mini: {kind} tokens"]["BilledCost"] for kind in ("input", "output")] == [
        "0.0000015",
        "0.000003",
    ]
    assert {row["BilledCost"] for row in rows if row["ServiceName"] != "gpt-4o-mini"} == {""}
    assert sum(int(row["ConsumedQuantity"]) for row in rows) == 30
    assert {row["ServiceCategory"] for row in rows} == {"AI and Machine Learning"}
