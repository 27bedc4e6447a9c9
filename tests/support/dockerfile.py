"""A Dockerfile's instructions, read far enough to perform them without a container engine."""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import NamedTuple


class Instruction(NamedTuple):
    """One instruction: its keyword in capitals and the rest of its line, continuations joined."""

    keyword: str
    rest: str

    @property
    def words(self) -> list[str]:
        """The rest as arguments, in JSON form or shell form."""
        if self.rest.startswith("["):
            found: list[str] = json.loads(self.rest)
            return found
        return shlex.split(self.rest)


class Stage(NamedTuple):
    """What stands between two FROMs."""

    base: str
    name: str
    instructions: tuple[Instruction, ...]

    def of(self, keyword: str) -> list[Instruction]:
        """The stage's instructions of one kind, in order."""
        return [item for item in self.instructions if item.keyword == keyword]

    def environment(self) -> dict[str, str]:
        """What its ENV instructions set."""
        return dict(word.split("=", 1) for item in self.of("ENV") for word in item.words)


def stages(text: str) -> list[Stage]:
    """The stages of a Dockerfile, with ARG defaults filled in where FROM uses them."""
    joined = re.sub(r"\\\n", " ", re.sub(r"(?m)^\s*#.*\n", "", text))
    found: list[Stage] = []
    arguments: dict[str, str] = {}
    for line in filter(None, (line.strip() for line in joined.splitlines())):
        keyword, _, rest = line.partition(" ")
        keyword, rest = keyword.upper(), re.sub(r"\s+", " ", rest.strip())
        if keyword == "FROM":
            base, _, name = re.sub(r"\$\{(\w+)\}", lambda match: arguments[match[1]], rest).partition(" AS ")
            found.append(Stage(base, name, ()))
        elif not found:
            assert keyword == "ARG", f"{keyword} before the first FROM"
            name, _, default = rest.partition("=")
            arguments[name] = default
        else:
            found[-1] = found[-1]._replace(instructions=(*found[-1].instructions, Instruction(keyword, rest)))
    return found


def copy_context(stage: Stage, context: Path, target: Path) -> None:
    """Perform a stage's COPY instructions from the build context (what .dockerignore leaves of it) into ``target``."""
    ignored = _ignored(context / ".dockerignore")
    for item in stage.of("COPY"):
        *sources, destination = item.words
        assert not any(source.startswith("--") for source in sources), item
        for source in sources:
            assert not ignored(source), f"COPY {source}: .dockerignore keeps it out"
            place = target / destination
            origin = context / source
            if origin.is_dir():
                shutil.copytree(origin, place, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
            else:
                place = place / origin.name if destination.endswith("/") else place
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(origin, place)


def _ignored(path: Path):  # type: ignore[no-untyped-def]  # a predicate over one path
    rules = [line.strip() for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]

    def decide(name: str) -> bool:
        verdict = False
        for rule in rules:  # the last rule that matches decides
            if fnmatch.fnmatch(name, rule.removeprefix("!")):
                verdict = not rule.startswith("!")
        return verdict

    return decide
