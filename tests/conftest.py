"""Fixtures every test may use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.postgres import PostgresServer


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL, one for each test process. Take a database of your own with ``postgres.migrated()``."""
    server = PostgresServer()
    yield server
    server.stop()
