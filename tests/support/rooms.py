"""The package's rooms (the folders and modules right below it) and how they import each other, read from its code."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Mapping
from graphlib import TopologicalSorter

import grimp

PACKAGE = "maas_api"
NO_ROOMS = frozenset({"__main__"})  # starts ``cli`` and nothing else


@functools.cache
def imports() -> Mapping[str, frozenset[str]]:
    """Module -> the modules of the package that it imports, anywhere in its code, also for types alone."""
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    return {module: frozenset(graph.find_modules_directly_imported_by(module)) for module in graph.modules}


@functools.cache
def rooms() -> Mapping[str, frozenset[str]]:
    """Room -> the rooms that it imports."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for module, imported in imports().items():
        importer = _room(module)
        if importer is not None:
            found[importer] |= {room for room in map(_room, imported) if room not in (None, importer)}
    return {room: frozenset(below) for room, below in found.items()}


def arrows(ground: frozenset[str]) -> frozenset[tuple[str, str]]:
    """The fewest arrows that say as much as all imports between rooms above the ground: without those that a longer way
    already implies. What belongs to the ground may be imported by all, so arrows to it would say nothing."""
    direct = {room: below - ground for room, below in rooms().items() if room not in ground}
    reach: dict[str, set[str]] = {}
    for room in TopologicalSorter(direct).static_order():
        reach[room] = set(direct[room]).union(*(reach[below] for below in direct[room]))
    return frozenset(
        (room, below)
        for room, all_below in direct.items()
        for below in all_below
        if not any(below in reach[other] for other in all_below - {below})
    )


def _room(module: str) -> str | None:
    name = module.split(".")[1] if "." in module else None
    return None if name in NO_ROOMS else name
