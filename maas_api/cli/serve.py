"""``maas-api serve``: the service, under gunicorn."""

from __future__ import annotations

import gc
import shlex
from typing import Any

import click

from maas_api.cli.options import SectionedCommand, load_settings, settings_options
from maas_api.config import ConfigError, Settings


@click.command(cls=SectionedCommand)
@settings_options()
def serve(**values: Any) -> None:
    """Serve the API: mint keys, list models, validate every call.

    Without options it listens on 127.0.0.1:8080, keeps keys in an embedded SQLite file, and watches the cluster it runs
    in. On a laptop, read models from a folder of manifests and sign callers in by the tokens of a file:

    \b
        maas-api serve --manifests examples/manifests --tokens-file examples/tokens.yaml --sign-in \\
            --default-subscription default
    """
    settings = load_settings(values)
    gc.disable()  # a thousand modules are no garbage, and looking at them again and again is a tenth of the start
    from maas_api.migrations import MigrationError  # heavy imports only once the options are known to be right
    from maas_api.server import StartError
    from maas_api.server import serve as run

    try:
        run(settings, _greeting(settings))
    except (ConfigError, MigrationError, StartError) as fault:
        raise click.ClickException(str(fault)) from None


def _greeting(settings: Settings) -> str:
    """Where it is, and what to type next; for the person before the terminal, so only where callers sign in here."""
    if not settings.sign_in or settings.tokens_file is None:
        return ""
    scheme = "https" if settings.tls else "http"
    url = f"{scheme}://{_shown(settings.bind)}"
    curl = "curl -sk" if settings.tls else "curl -s"
    metrics = f"metrics on http://{_shown(settings.metrics_bind)}/metrics, " if settings.metrics_port else ""
    keys = "keys in the database" if settings.database_url else f"keys in {settings.sqlite_path}"
    return f"""
MaaS API answers on {url} ({metrics}{keys}). Ctrl-C ends it. In another terminal:

  export MAAS_URL={url}
  TOKEN=$(sed -n 's/.*token: //p' {shlex.quote(str(settings.tokens_file))} | head -1)

  # mint a key, as the first user of that file
  KEY=$({curl} $MAAS_URL/v1/api-keys -H "Authorization: Bearer $TOKEN" -d '{{"name":"first"}}' \\
    | sed 's/.*"key":"\\([^"]*\\)".*/\\1/'); echo "$KEY"

  # what that key may call
  {curl} $MAAS_URL/v1/models -H "Authorization: Bearer $KEY"

Calling the models takes a gateway: make demo ARGS=--keep starts one on this machine. docs/use.md is for those who call,
docs/README.md for those who operate.

"""


def _shown(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
