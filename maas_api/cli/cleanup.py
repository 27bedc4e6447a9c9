"""``maas-api cleanup``: what the CronJob runs."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import click

from maas_api.cli.ask import UnansweredError, ask, trusting
from maas_api.edge.secret import SecretError, secrets_in

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--url", required=True, metavar="URL", help="The service, as https://host:port.")
@click.option("--ca-file", type=_FILE, help="PEM file of the CAs that may have signed the service's certificate.")
@click.option("--insecure", is_flag=True, help="Do not verify the service's certificate.")
@click.option("--internal-secret-file", type=_FILE, help="File with the shared secret, where the service asks for it.")
def cleanup(url: str, ca_file: Path | None, insecure: bool, internal_secret_file: Path | None) -> None:
    """Remove ephemeral keys that expired more than half an hour ago.

    Asks a running service to do it; made to be run every quarter of an hour.
    """
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise click.UsageError(f"--url: must be http://host:port or https://host:port, got {url!r}")
    headers = {}
    target = url.rstrip("/") + "/internal/v1/api-keys/cleanup"
    try:
        if internal_secret_file is not None:
            headers["X-MaaS-Internal-Secret"] = secrets_in(internal_secret_file)[0]
        answer = ask("POST", target, tls=trusting(ca_file, insecure=insecure), headers=headers)
    except (UnansweredError, SecretError) as fault:
        raise click.ClickException(str(fault)) from None
    click.echo(answer.get("message", "done"))
