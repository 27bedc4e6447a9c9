"""Files that pages load: named by what is in them, so that a browser keeps each for as long as it is the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from importlib.resources.abc import Traversable
from typing import Final, NamedTuple

from flask import Response, request

_TYPES: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_KEPT: Final = "public, max-age=31536000, immutable"


class Asset(NamedTuple):
    """One file. ``version`` changes with its content."""

    content: bytes
    kind: str
    version: str


def read(files: Iterable[Traversable]) -> dict[str, Asset]:
    """The files by name."""
    found = {}
    for file in files:
        content = file.read_bytes()
        kind = _TYPES[file.name[file.name.rindex(".") :]]
        found[file.name] = Asset(content, kind, hashlib.sha256(content).hexdigest()[:12])
    return found


def link(assets: Mapping[str, Asset], name: str) -> str:
    """The end of a file's address: its name and its version."""
    return f"{name}?v={assets[name].version}"


def answer(assets: Mapping[str, Asset], name: str) -> Response:
    """The file that the present request asks for; 404 for another name. Kept where it was asked for by its version."""
    found = assets.get(name)
    if found is None:
        return Response("", 404)
    made = Response(found.content, content_type=found.kind)
    made.headers["Cache-Control"] = _KEPT if request.args.get("v") == found.version else "no-cache"
    return made
