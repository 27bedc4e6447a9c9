"""What an HTTPRoute does to a path, by the rules of the Gateway API (v1, HTTPRouteRule and HTTPPathModifier)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Route = dict[str, Any]


def upstream(routes: Iterable[Route], path: str) -> str | None:
    """The path that the backend receives for a request path, or None where no rule of any route matches.

    An exact match wins, then the longest prefix. A prefix matches whole elements: ``/v1`` matches ``/v1`` and
    ``/v1/x``, not ``/v1x``.
    """
    best: tuple[tuple[bool, int], dict[str, Any], str] | None = None
    for rule in (rule for route in routes for rule in route["spec"]["rules"]):
        for match in rule.get("matches", [{"path": {"type": "PathPrefix", "value": "/"}}]):
            kind, value = match["path"]["type"], match["path"]["value"]
            exact = kind == "Exact"
            if path != value if exact else not _has_prefix(path, value):
                continue
            rank = (exact, len(value))
            if best is None or rank > best[0]:
                best = (rank, rule, value)
    return None if best is None else _rewritten(best[1], best[2], path)


def _has_prefix(path: str, prefix: str) -> bool:
    trimmed = prefix.rstrip("/")
    return path == trimmed or path.startswith(trimmed + "/")


def _rewritten(rule: dict[str, Any], matched: str, path: str) -> str:
    for item in rule.get("filters", ()):
        modifier = item.get("urlRewrite", {}).get("path")
        if modifier is None:
            continue
        if modifier["type"] == "ReplaceFullPath":
            return str(modifier["replaceFullPath"])
        rest = path[len(matched.rstrip("/")) :].lstrip("/")
        return f"{modifier['replacePrefixMatch'].rstrip('/')}/{rest}" if rest else modifier["replacePrefixMatch"] or "/"
    return path
