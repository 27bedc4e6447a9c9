"""Where does a secret occur? Searches texts, files, running processes; reports places, never the secret."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from maas_api.demo.process import descendants


class Search(NamedTuple):
    """What a search found: the places that hold a secret, and how much was looked through."""

    places: list[str]
    looked_at: int


def in_texts(secrets: Iterable[str], texts: Mapping[str, str]) -> Search:
    """Search named texts."""
    wanted = tuple(secrets)
    return Search([name for name, text in texts.items() if any(secret in text for secret in wanted)], len(texts))


def in_files(secrets: Iterable[str], folder: Path, *, except_in: Sequence[Path] = ()) -> Search:
    """Search every file under ``folder``, byte by byte, leaving out what lies under ``except_in``."""
    wanted = tuple(secret.encode() for secret in secrets)
    places, count = [], 0
    for path in sorted(folder.rglob("*")):
        if any(path.is_relative_to(hidden) for hidden in except_in) or not path.is_file():
            continue
        with contextlib.suppress(FileNotFoundError):  # a database's side files come and go
            content = path.read_bytes()
            count += 1
            if any(secret in content for secret in wanted):
                places.append(str(path.relative_to(folder)))
    return Search(places, count)


def in_processes(secrets: Iterable[str], root: int) -> Search:
    """Search the command line and the environment of every process below ``root``."""
    wanted = tuple(secret.encode() for secret in secrets)
    places, count = [], 0
    for pid in descendants(root):
        for part in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                content = Path(f"/proc/{pid}/{part}").read_bytes()
                count += part == "cmdline"
                if any(secret in content for secret in wanted):
                    places.append(f"{part} of process {pid}")
    return Search(places, count)
