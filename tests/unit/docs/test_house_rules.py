"""CONTRIBUTING.md, STYLE.md and CHANGELOG.md speak of what is there."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "maas_api"
PAGES = ["CONTRIBUTING.md", "STYLE.md", "CHANGELOG.md", "docs/architecture.md"]
MAKE = (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("page", PAGES)
def test_every_file_folder_and_target_it_names_exists(page: str) -> None:
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert "://" in target or ((ROOT / page).parent / target).exists(), target
    prose = re.sub(r"\]\([^)]*\)|<br/>", " ", text)
    for name in re.findall(r"(?<![\w/.])((?:[\w-]+/)+(?:[\w-]+\.(?:py|md|yaml))?)(?![\w/<(])", prose):
        assert (ROOT / name).exists() or any(PACKAGE.rglob(name.rstrip("/"))), name
    for target in re.findall(r"(?m)(?:^|`)make ([a-z]+)", text):
        assert re.search(rf"^{target}:", MAKE, re.MULTILINE), target


def test_every_habit_has_a_do_and_a_dont() -> None:
    habits = re.split(r"^## ", (ROOT / "STYLE.md").read_text(), flags=re.MULTILINE)[1:]
    assert len(habits) > 10
    for habit in habits:
        assert re.findall(r"^- (Do|Don't): ", habit, re.MULTILINE) == ["Do", "Don't"], habit.splitlines()[0]


def test_the_changelog_keeps_its_format_and_names_the_version_that_is_built() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    first, *released = re.findall(r"^## \[(.+?)\](?: - (.+))?$", text, re.MULTILINE)
    assert first == ("Unreleased", "")
    days = [date.fromisoformat(day) for _, day in released]
    assert days == sorted(days, reverse=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert released[0][0] == project["version"]
    known = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= known
