"""The commands in a page of documentation: fenced shell blocks, taken apart into simple commands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import NamedTuple


class Command(NamedTuple):
    """One simple command: its words, variables replaced by their names, substitutions by ``SUBSTITUTED``."""

    page: str
    line: int
    words: tuple[str, ...]

    @property
    def program(self) -> str:
        """The first word."""
        return self.words[0]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {' '.join(self.words)}"


_FENCE = re.compile(r"^( *)```(\w*)\s*$")
_SUBSTITUTION = re.compile(r"\$\(([^()]*)\)")
_VARIABLE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")


def blocks(text: str) -> Iterator[tuple[int, str, str]]:
    """Every fenced block: the line it starts on, its language, its content."""
    start, indent, language, held = 0, "", "", list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        fence = _FENCE.match(line)
        if fence and not start:
            start, indent, language, held = number, fence[1], fence[2], []
        elif fence and start:
            yield start, language, "\n".join(held)
            start = 0
        elif start:
            held.append(line.removeprefix(indent))
    assert not start, f"the block at line {start} is not closed"


def commands(page: str, text: str) -> Iterator[Command]:
    """Every simple command of every shell block, those inside ``$(...)`` included."""
    for start, language, content in blocks(text):
        if language != "sh":
            continue
        for offset, line in enumerate(content.splitlines(), 1):
            assert not line.rstrip().endswith("\\"), f"{page}:{start + offset}: one command, one line"
            if line.strip() and not line.lstrip().startswith("#"):
                yield from _simple(page, start + offset, line)


def _simple(page: str, number: int, line: str) -> Iterator[Command]:
    for inner in _SUBSTITUTION.findall(line):
        yield from _simple(page, number, inner)
    flat = _VARIABLE.sub(r"\1", _SUBSTITUTION.sub("SUBSTITUTED", line))
    lexer = shlex.shlex(flat, posix=True, punctuation_chars="|&;")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if word and set(word) <= set("|&;"):
            while words and _ASSIGNMENT.match(words[0]):
                words.pop(0)
            if words:
                yield Command(page, number, tuple(words))
            words = []
        else:
            words.append(word)
