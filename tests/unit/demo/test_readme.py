"""The README shows what the demo prints."""

from __future__ import annotations

from pathlib import Path

from maas_api.demo.checks import CHECKS
from maas_api.demo.one_url import ROOT_CALLS
from maas_api.demo.report import OneUrlRow, Row, one_url_table, table
from maas_api.demo.seed import CALLS, TOKEN_SHOWN

README = Path(__file__).parents[3] / "README.md"


def test_the_readme_shows_the_demos_table() -> None:
    rows = [Row(call.model, call.label, TOKEN_SHOWN, call.expected[0], passed=True) for call in CALLS]
    assert "\n".join(table(rows)) in README.read_text("utf-8")


def test_the_readme_shows_the_table_of_the_one_url() -> None:
    rows = [
        OneUrlRow(root.call.model, root.sdk, f"POST {root.call.path}", root.call.expected[0], passed=True)
        for root in ROOT_CALLS
    ]
    assert "\n".join(one_url_table(rows)) in README.read_text("utf-8")


def test_the_readme_names_every_check_in_its_order() -> None:
    lines = [
        line.removeprefix("PASS  ") for line in README.read_text("utf-8").splitlines() if line.startswith("PASS  ")
    ]
    assert lines == [promise for promise, _ in CHECKS]
