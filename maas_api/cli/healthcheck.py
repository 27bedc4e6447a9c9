"""``maas-api healthcheck``: the image's own probe, where no kubelet asks."""

from __future__ import annotations

from typing import Any

import click

from maas_api import config
from maas_api.cli.ask import UnansweredError, ask, trusting
from maas_api.cli.options import SectionedCommand, load_settings, settings_options


@click.command(cls=SectionedCommand)
@settings_options(config.SERVER)
def healthcheck(**values: Any) -> None:
    """Ask the service on this machine whether it is ready; exit 0 if so.

    Finds it by the options and variables that `maas-api serve` was given.
    """
    settings = load_settings(values)
    host, port = settings.bind
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 -- replaced here, not bound
    shown = f"[{host}]" if ":" in host else host
    url = f"{'https' if settings.tls else 'http'}://{shown}:{port}/readyz"
    try:
        # Its certificate is made for its name in the cluster, not for the loopback address.
        answer = ask("GET", url, tls=trusting(None, insecure=True), timeout=3.0)
    except UnansweredError as fault:
        raise click.ClickException(str(fault)) from None
    click.echo(answer["status"])
