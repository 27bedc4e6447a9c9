"""Each decision record is whole, short, and found from the index."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[3] / "docs" / "decisions"
RECORDS = sorted(FOLDER.glob("[0-9]*.md"))
INDEX = (FOLDER / "README.md").read_text()
HEADINGS = ["Context", "Decision", "Consequences", "Alternatives"]
A_PAGE = 45  # lines

each = pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)


@each
def test_a_record_says_why_what_what_follows_and_what_else_was_possible(record: Path) -> None:
    text = record.read_text()
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS
    for part in re.split(r"^## .+$", text, flags=re.MULTILINE)[1:]:
        assert len(part.split()) > 15, f"{record.name}: {part.strip()!r} says too little"
    assert text.partition("## Alternatives")[2].count("\n- **") >= 2, "a decision without alternatives is none"


@each
def test_a_record_is_less_than_a_page(record: Path) -> None:
    assert len(record.read_text().splitlines()) <= A_PAGE


@each
def test_its_links_and_the_paths_it_names_exist(record: Path) -> None:
    text = record.read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (FOLDER / target).exists(), target
    root = FOLDER.parents[1]
    for name in re.findall(r"`((?:[\w-]+/)+[\w.-]*)`", text):
        assert (root / name).exists() or (root / "maas_api" / name).exists(), name


def test_the_numbers_are_whole_and_the_index_has_every_record_by_its_title() -> None:
    assert [int(record.name[:4]) for record in RECORDS] == list(range(1, len(RECORDS) + 1))
    rows = re.findall(r"^\| (\d+) \| \[(.+)\]\((.+)\) \|$", INDEX, re.MULTILINE)
    titles = [record.read_text().splitlines()[0] for record in RECORDS]
    assert [(f"# {number}. {title}", name) for number, title, name in rows] == [
        (title, record.name) for title, record in zip(titles, RECORDS, strict=True)
    ]
