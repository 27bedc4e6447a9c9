"""Parts of the service that run while a test looks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from maas_api.lifecycle import Background

B = TypeVar("B", bound=Background)


@contextmanager
def started(parts: Sequence[B]) -> Iterator[Sequence[B]]:
    """The parts, started in order; at the end each is stopped."""
    for part in parts:
        part.start()
    try:
        yield parts
    finally:
        for part in parts:
            part.stop()
