"""A server to have conversations with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from maas_api.edge.connections.limits import Limits
from tests.support.playbook import Playbook

LIMITS = Limits(header_bytes=1000, header_seconds=2, request_seconds=5, write_seconds=3, idle_seconds=60, connections=4)


@pytest.fixture
def playbook() -> Iterator[Playbook]:
    """A server with small bounds. Whatever else has happened by the test's end fails it."""
    server = Playbook(LIMITS)
    yield server
    server.end()


@pytest.fixture
def guarded() -> Iterator[Playbook]:
    """One that asks for the secret ``open sesame`` before ``/internal``."""
    server = Playbook(LIMITS, b"open sesame")
    yield server
    server.end()
