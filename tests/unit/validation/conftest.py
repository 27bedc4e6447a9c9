"""A validation that runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.validating import World


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    made.validation.start()
    yield made
    made.store.gate.set()
    made.validation.stop()
