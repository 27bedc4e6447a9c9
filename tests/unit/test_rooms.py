"""The house stays walkable: rooms of a size one can look over, doors that open one way."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.support import rooms

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / rooms.PACKAGE).rglob("*.py"))
FOLDERS = sorted({file.parent for file in FILES})

MODULES_AT_MOST = 15
LINES_AT_MOST = 330


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _lines(file: Path) -> int:
    return len(file.read_text().splitlines())


def _modules(folder: Path) -> list[str]:
    return sorted(file.stem for file in folder.glob("*.py") if file.stem != "__init__")


def test_no_folder_holds_more_modules_than_one_can_look_over() -> None:
    sizes = {_name(folder): _modules(folder) for folder in FOLDERS}
    assert len(sizes) > 20
    assert {name: found for name, found in sizes.items() if len(found) > MODULES_AT_MOST} == {}


def test_no_file_is_longer_than_one_idea() -> None:
    sizes = {_name(file): _lines(file) for file in FILES}
    assert len(sizes) > 150
    assert {name: lines for name, lines in sizes.items() if lines > LINES_AT_MOST} == {}


def test_every_file_says_first_what_it_is_for() -> None:
    silent = [_name(file) for file in FILES if not ast.get_docstring(ast.parse(file.read_text()))]
    assert silent == []


def test_no_import_leads_in_a_circle() -> None:
    try:
        order = tuple(TopologicalSorter(rooms.imports()).static_order())
    except CycleError as circle:
        pytest.fail(f"these import each other: {' -> '.join(reversed(circle.args[1]))}")
    assert len(order) > 150


def test_no_room_leads_back_to_itself() -> None:
    try:
        TopologicalSorter(rooms.rooms()).prepare()
    except CycleError as circle:
        pytest.fail(f"these rooms need each other: {' -> '.join(reversed(circle.args[1]))}")
