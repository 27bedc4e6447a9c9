"""The embedded store's feed when its file cannot be read for a while."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from maas_api import migrations
from maas_api.observability import metrics
from maas_api.validation.cache import VerdictCache
from maas_api.validation.changes import SqliteChanges

_ERRORS = metrics.store_errors.labels("changes")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of a migrated store."""
    path = tmp_path / "keys.db"
    migrations.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def feed(path: Path) -> Iterator[SqliteChanges]:
    """A started feed whose clock counts its uses."""
    ticks = iter(range(1_000_000))
    feed = SqliteChanges(path, VerdictCache(10), clock=lambda: float(next(ticks)))
    feed.start()
    yield feed
    feed.stop()


def change(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement)
    connection.close()


def test_changes_that_cannot_be_read_are_counted_each_time_and_said_once(
    path: Path, feed: SqliteChanges, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "maas_api.validation.changes")
    counted, heard = _ERRORS.value, feed.channel.heard
    change(path, "ALTER TABLE maas_key_changes RENAME TO away")
    for _ in range(3):
        feed.poll()
    assert feed.channel.heard == heard
    assert _ERRORS.value == counted + 3
    assert metrics.channel_up.labels().value == 0
    change(path, "ALTER TABLE away RENAME TO maas_key_changes")
    for _ in range(3):
        feed.poll()
    assert feed.channel.heard > heard
    assert metrics.channel_up.labels().value == 1
    assert [(record.levelname, record.getMessage(), record.exc_info) for record in caplog.records] == [
        ("WARNING", "the embedded store's changes cannot be read", None),
        ("INFO", "the embedded store's changes are read again", None),
    ]
