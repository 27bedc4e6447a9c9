"""The revisions themselves, by Alembic: which there are, and applying them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory


def upgrade(connection: sa.Connection) -> None:
    """Apply what is missing. The caller commits."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def after(current: Collection[str]) -> list[str]:
    """The revisions that a database at ``current`` lacks, oldest first, each with its sentence."""
    script = ScriptDirectory.from_config(_config())
    done = {item.revision for head in current for item in script.iterate_revisions(head, "base")}
    return [
        f"{item.revision} {item.doc}" for item in reversed(list(script.walk_revisions())) if item.revision not in done
    ]


def newest() -> str | None:
    """The last of them."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    return config
