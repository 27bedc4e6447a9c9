"""What a snapshot keeps for callers is bounded, whatever they make of it."""

from __future__ import annotations

import tracemalloc

import pytest

from maas_api.models import snapshot
from maas_api.models.model import Mapped, ModelEntry
from maas_api.models.shelf import Place, Shelf
from maas_api.models.snapshot import Scope, Snapshot


def many(count: int) -> Snapshot:
    entries = (
        ModelEntry(
            id=f"m{number:05}", created=1, owned_by="openai", ready=True, source="registry", origin="a/b", url="u" * 100
        )
        for number in range(count)
    )
    shelf = Shelf()
    shelf.put(Place(0, ("a", "b")), Mapped(tuple(entries)))
    return shelf.snapshot(1)


@pytest.mark.parametrize("pattern", ["*", "none-{}"])
def test_allow_lists_without_end_do_not_fill_the_memory(pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers choose the allow-lists of their keys: each list is a view, be it of everything or of nothing."""
    monkeypatch.setattr(snapshot, "MAX_VIEWS_BYTES", 2 * 1024 * 1024)
    held = many(1_000)
    tracemalloc.start()
    try:
        for number in range(1_500 if pattern != "*" else 60):
            held.view(Scope(models=(pattern.format(number), f"x{number}" * 20)))
        grown, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 3 * 1024 * 1024


def test_a_view_too_large_to_keep_is_still_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "MAX_VIEWS_BYTES", 10)
    assert [row.entry.id for row in many(3).view(Scope(models=("m*",))).rows] == ["m00000", "m00001", "m00002"]
