"""The store of a command that an operator runs beside the service. Faults end in one sentence, exit 1."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from maas_api.cli.options import load_settings
from maas_api.config import ConfigError

if TYPE_CHECKING:
    from maas_api.config import Settings
    from maas_api.store.database import Database


@contextmanager
def opened(values: dict[str, Any]) -> Iterator[tuple[Database, Settings]]:
    """The store of these options, its schema up to date."""
    settings = load_settings(values)
    import sqlalchemy as sa  # heavy imports only once the options are known to be right

    from maas_api import migrations
    from maas_api.errors import ApiError
    from maas_api.kube import secrets
    from maas_api.observability import logs
    from maas_api.store.assembly import database_url, open_store

    # On a terminal the answer is enough: the audit record is for whoever collects the lines of a job.
    watched = sys.stderr.isatty() and "LOG_LEVEL" not in os.environ
    logs.configure(settings.log_format, "warning" if watched else settings.log_level, sys.stderr)
    try:
        url = database_url(settings, secrets.reader(settings, os.environ))
        file, due = migrations.sqlite_file(url), migrations.pending(url)
        if file is not None and not file.exists():
            raise click.ClickException(
                f"there is no database {file}: name the service's own (--sqlite-path, --database-url), "
                "or make one: maas-api migrate"
            )
        if due:
            raise click.ClickException(f"the store's schema is not up to date ({due[0]}): run maas-api migrate")
        database = open_store(settings, url)
        try:
            yield database, settings
        finally:
            database.stop()
    except ApiError as fault:
        raise click.ClickException(str(fault.body["error"])) from None
    except (ConfigError, migrations.MigrationError) as fault:
        raise click.ClickException(str(fault)) from None
    except sa.exc.SQLAlchemyError as fault:
        raise click.ClickException(f"the store failed: {type(fault).__name__}") from None


def plain(value: Any) -> str:
    """One line of plain text: control characters in a name cannot move the cursor."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in str(value))
