"""``maas-api migrate``: the store's schema, brought up to date."""

from __future__ import annotations

import os
from typing import Any

import click

from maas_api.cli.options import SectionedCommand, load_settings, settings_options
from maas_api.config import PLATFORM, STORE, ConfigError


@click.command(cls=SectionedCommand)
@settings_options(STORE, PLATFORM)
@click.option("--check", is_flag=True, help="Change nothing; exit 1 when migrations are due.")
def migrate(check: bool, **values: Any) -> None:
    """Bring the store's schema up to date.

    ``maas-api serve`` does the same at its start; run this where the service's own account may not change the schema.
    A database of the Go service (its migration 6) gets tables of our own and is otherwise left as it is.
    """
    settings = load_settings(values)
    from maas_api import migrations  # heavy imports only once the options are known to be right
    from maas_api.kube import secrets
    from maas_api.store.assembly import database_url

    try:
        url = database_url(settings, secrets.reader(settings, os.environ))
        due = migrations.pending(url)
        if not check:
            migrations.upgrade(url)
    except (ConfigError, migrations.MigrationError) as fault:
        raise click.ClickException(str(fault)) from None
    for line in due:
        click.echo(f"{'due' if check else 'applied'}: {line}")
    if not due:
        click.echo("up to date")
    elif check:
        raise click.exceptions.Exit(1)
