"""A key's allow-list: exact model ids, or prefixes that end in ``*``. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def allows(patterns: Sequence[str] | None, model: str) -> bool:
    """Whether an allow-list lets a model through. None allows every model."""
    if patterns is None:
        return True
    return any(model.startswith(item[:-1]) if item.endswith("*") else model == item for item in patterns)


def permits(patterns: Sequence[str], names: Collection[str]) -> bool:
    """Whether one of ``names`` (those that one model goes by) is on the list."""
    return any(allows(patterns, name) for name in names)
