"""``maas-api keys export`` and ``import`` against stores of both kinds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from click.testing import CliRunner, Result

from maas_api.cli import main
from maas_api.store.database import open_database

Store = Callable[[], str]
"""Makes a migrated store; its URL."""


def run(url: str, *arguments: str, text: str | None = None) -> Result:
    return CliRunner().invoke(main, ["keys", *arguments, "--database-url", url], input=text)


def exported(url: str, file: Path) -> list[dict[str, Any]]:
    done = run(url, "export", str(file), "--hashes")
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in file.read_text().splitlines()]


def count(url: str, table: str) -> int:
    database = open_database(url)
    with database.reading() as connection:
        found: int = connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar_one()
    database.stop()
    return found
