"""Stores of both kinds."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from maas_api import migrations
from tests.support.moving import Store
from tests.support.postgres import PostgresServer


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def new_store(request: pytest.FixtureRequest, postgres: PostgresServer, tmp_path: Path) -> Iterator[Store]:
    """Makes migrated stores of one kind."""
    root, before = logging.getLogger(), logging.getLogger().handlers[:]
    made = 0

    def make() -> str:
        nonlocal made
        if request.param == "PostgreSQL":
            return postgres.migrated()
        made += 1
        url = f"sqlite:///{tmp_path / f'store-{made}.db'}"
        migrations.upgrade(url)
        return url

    yield make
    root.handlers[:] = before  # the command took the log over
