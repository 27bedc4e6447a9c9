"""A gateway that asks the authorizer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.questions import Gateway


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    """Each question that it asks must come to an answer, and that must be told."""
    asking = Gateway()
    yield asking
    asking.end()
