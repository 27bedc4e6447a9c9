"""SECURITY.md names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ROWS = [line for line in (ROOT / "SECURITY.md").read_text().splitlines() if re.match(r"\| \d", line)]


def _tests(file: Path) -> set[str]:
    tree = ast.parse(file.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_there_is_a_table() -> None:
    assert len(ROWS) > 35


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_every_row_names_a_requirement_and_tests_that_exist(row: str) -> None:
    _, numbers, requirement, how, proof, _ = (cell.strip() for cell in row.split("|"))
    assert all(re.fullmatch(r"\d{1,2}\.\d{1,2}\.\d{1,2}", number) for number in numbers.split(", "))
    assert requirement
    assert how
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", proof)
    assert named, f"no test in {proof!r}"
    for file, test in named:
        assert test in _tests(ROOT / file), f"{file} has no {test}"
