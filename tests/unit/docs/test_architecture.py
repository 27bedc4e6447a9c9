"""The picture in docs/architecture.md shows the rooms that exist and the imports between them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from tests.support import rooms
from tests.support.shell import blocks

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "architecture.md").read_text()
PICTURE = next(content for _, language, content in blocks(TEXT) if language == "mermaid")
NODES = re.findall(r'^ +(\w+)\["([\w/.]+)(?:<br/>[^"]*)?"\]$', PICTURE, re.MULTILINE)
_GROUND = PICTURE.partition("subgraph ground\n")[2].partition("    end\n")[0]
GROUND = frozenset(re.findall(r"^ +(\w+)\[", _GROUND, re.MULTILINE))
ARROWS = [
    (start, end)
    for start, ends in re.findall(r"^ +(\w+) --> ([\w &]+)$", PICTURE, re.MULTILINE)
    for end in ends.split(" & ")
]


def test_every_room_is_in_the_picture_and_nothing_else() -> None:
    assert sorted(name for name, _ in NODES) == sorted(rooms.rooms())
    for name, label in NODES:
        folder = (ROOT / rooms.PACKAGE / name).is_dir()
        assert label == f"{name}/" if folder else label == f"{name}.py"


def test_the_arrows_are_the_imports_without_those_that_follow_from_others() -> None:
    wanted: dict[str, list[str]] = {}
    for start, end in sorted(rooms.arrows(GROUND)):
        wanted.setdefault(start, []).append(end)
    lines = "\n".join(f"    {start} --> {' & '.join(ends)}" for start, ends in wanted.items())
    assert sorted(ARROWS) == sorted(rooms.arrows(GROUND)), f"draw these arrows instead:\n{lines}"


def test_every_arrow_leads_down_the_layers_of_the_contract_and_the_ground_is_below_all() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(item["layers"] for item in contracts if item.get("containers") == [rooms.PACKAGE])
    depth = {room: at for at, layer in enumerate(layers) for room in layer.split(" | ")}
    assert depth.keys() == rooms.rooms().keys()
    assert [arrow for arrow in ARROWS if depth[arrow[0]] >= depth[arrow[1]]] == []
    assert max(depth[room] for room in depth.keys() - GROUND) < min(depth[room] for room in GROUND)


def test_every_room_has_its_sentence() -> None:
    described = re.findall(r"^\| `([\w/.]+)` \| ", TEXT, re.MULTILINE)
    assert sorted(described) == sorted(label for _, label in NODES)
