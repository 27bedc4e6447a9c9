"""One client program, as its file in ``programs/`` says: what to install, what to set, a script a column."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

PROGRAMS = Path(__file__).with_name("programs")
COLUMNS = ("chat", "stream", "tools", "structured", "list", "retrieve", "bad key")
"""What is tried. ``bad key`` is the chat script with a key that nobody minted."""

SCRIPTED = COLUMNS[:-1]
SUFFIX = {"python": ".py", "node": ".mjs", "shell": ".sh"}

MODELS = {"openai": "gpt-4o-mini", "anthropic": "claude-sonnet-5-5"}
"""Dialect -> the model that is asked."""

_PINNED = re.compile(r"@?[\w./-]+(\[[\w,-]+\])?(==|@)[\w.]+")
_FIELDS = {"title", "runtime", "script", "shows", "install", "dialect", "model", "set", "note", "recorded", "env"}
_FIELDS |= {"files", "prelude", "columns", "unsupported", "known", "seconds"}


class ProgramError(Exception):
    """A program's file is wrong. Names the file, the field and the rule."""


class Program(NamedTuple):
    """One client.

    ``runtime``: ``python`` or ``node``, which decides how it is installed; ``script``: the language of its scripts.
    ``env``: what a user sets, with ``$openai``, ``$anthropic`` (base URLs), ``$key`` and ``$model`` in it. ``set``: the
    same in words. ``files``: path below its HOME -> text, filled in the same way. ``prelude``: text before each script.
    ``unsupported``: column -> why this client cannot do it. ``known``: column -> a failure that is its own.
    ``recorded``: its requests are replayed, because the program itself does not run here.
    """

    name: str
    title: str
    runtime: str
    script: str
    shows: str
    install: tuple[str, ...]
    dialect: str
    model: str
    set: tuple[str, ...]
    note: str
    recorded: bool
    env: Mapping[str, str]
    files: Mapping[str, str]
    prelude: str
    columns: Mapping[str, str]
    unsupported: Mapping[str, str]
    known: Mapping[str, str]
    seconds: float

    def text(self, column: str) -> str:
        """The script of a column, as it is run."""
        return self.prelude + self.columns["chat" if column == "bad key" else column]


def load(path: Path) -> Program:
    """Read one file. Raises ProgramError."""
    try:
        given = tomllib.loads(path.read_text("utf-8"))
    except tomllib.TOMLDecodeError as fault:
        raise ProgramError(f"{path.name}: {fault}") from None
    unknown = set(given) - _FIELDS
    if unknown:
        raise ProgramError(f"{path.name}: unknown {sorted(unknown)}, accepted: {sorted(_FIELDS)}")
    for field in ("title", "runtime", "dialect", "set", "columns"):
        if not given.get(field):
            raise ProgramError(f"{path.name}: {field}: must be given")
    _check(path.name, given)
    return Program(
        name=path.stem,
        title=given["title"],
        runtime=given["runtime"],
        script=given.get("script", given["runtime"]),
        shows=given.get("shows", ""),
        install=tuple(given.get("install", ())),
        dialect=given["dialect"],
        model=given.get("model", MODELS[given["dialect"]]),
        set=tuple(given["set"]),
        note=given.get("note", ""),
        recorded=given.get("recorded", False),
        env=given.get("env", {}),
        files=given.get("files", {}),
        prelude=given.get("prelude", ""),
        columns=given["columns"],
        unsupported=given.get("unsupported", {}),
        known=given.get("known", {}),
        seconds=given.get("seconds", 90),
    )


def _check(name: str, given: Mapping[str, Any]) -> None:
    if given["runtime"] not in {"python", "node"}:
        raise ProgramError(f"{name}: runtime: {given['runtime']!r}, accepted: python, node")
    if given.get("script", given["runtime"]) not in SUFFIX:
        raise ProgramError(f"{name}: script: {given['script']!r}, accepted: {', '.join(SUFFIX)}")
    if given["dialect"] not in MODELS:
        raise ProgramError(f"{name}: dialect: {given['dialect']!r}, accepted: {', '.join(MODELS)}")
    for package in given.get("install", ()):
        if not _PINNED.fullmatch(package):
            raise ProgramError(f"{name}: install: {package!r} is not pinned (name==version, for npm name@version)")
    for field, accepted in (("columns", SCRIPTED), ("unsupported", SCRIPTED), ("known", COLUMNS)):
        strangers = set(given.get(field, {})) - set(accepted)
        if strangers:
            raise ProgramError(f"{name}: {field}: unknown {sorted(strangers)}, accepted: {', '.join(accepted)}")
    missing = set(SCRIPTED) - set(given["columns"]) - set(given.get("unsupported", {}))
    if missing or "chat" not in given["columns"]:
        raise ProgramError(f"{name}: neither a script nor a reason for {sorted(missing) or ['chat']}")


def every() -> list[Program]:
    """All programs, in the order of their files. Raises ProgramError."""
    return [load(path) for path in sorted(PROGRAMS.glob("*.toml"))]
