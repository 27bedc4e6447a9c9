"""Fixtures every test may use, and the last line of a run that skipped something for want of definitions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from maas_api import migrations
from maas_api.store.database import Database, open_database
from tests.support.crds import WITHOUT
from tests.support.postgres import PostgresServer

# What else the machine does is no reason to fail: how long an example takes is the benchmarks' matter.
settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL, one for each test process. Take a database of your own with ``postgres.migrated()``."""
    server = PostgresServer()
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of the test's own, with every table; the test runs once on each kind."""
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        return server.migrated()
    url = f"sqlite:///{tmp_path / 'keys.db'}"
    migrations.upgrade(url)
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The same, opened."""
    made = open_database(database_url)
    yield made
    made.stop()


_skipped: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remember what was skipped for want of definitions (the controller hears of every worker's tests)."""
    if report.skipped and WITHOUT in str(report.longrepr):
        _skipped.append(report.nodeid)


def pytest_unconfigure() -> None:
    """Say it last, where it is read."""
    if _skipped and "PYTEST_XDIST_WORKER" not in os.environ:
        said = f"{len(_skipped)} tests were skipped: {WITHOUT}. tests/README.md says where to get them."
        print(said)  # noqa: T201 -- pytest's own lines are over
