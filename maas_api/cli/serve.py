"""``maas-api serve``: the service, under gunicorn."""

from __future__ import annotations

from typing import Any

import click

from maas_api.cli.options import SectionedCommand, load_settings, settings_options
from maas_api.config import ConfigError


@click.command(cls=SectionedCommand)
@settings_options()
def serve(**values: Any) -> None:
    """Serve the API: mint keys, list models, validate every call.

    Without options it listens on :8080, keeps keys in an embedded SQLite file, and watches the cluster it runs in.
    On a laptop, read models from a folder of manifests instead:

    \b
        maas-api serve --manifests examples/manifests --tokens-file examples/tokens.yaml --default-subscription default
    """
    settings = load_settings(values)
    from maas_api.migrations import MigrationError  # heavy imports only once the options are known to be right
    from maas_api.server import StartError
    from maas_api.server import serve as run

    try:
        run(settings)
    except (ConfigError, MigrationError, StartError) as fault:
        raise click.ClickException(str(fault)) from None
