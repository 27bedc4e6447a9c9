"""The ``maas-api`` command."""

from __future__ import annotations

import click

from maas_api import __version__
from maas_api.cli.cleanup import cleanup
from maas_api.cli.demo import demo
from maas_api.cli.gateway import gateway
from maas_api.cli.healthcheck import healthcheck
from maas_api.cli.migrate import migrate
from maas_api.cli.models import models
from maas_api.cli.registry import registry
from maas_api.cli.serve import serve


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="maas-api")
def main() -> None:
    """MaaS API: one key for every model behind the gateway."""


main.add_command(cleanup)
main.add_command(demo)
main.add_command(gateway)
main.add_command(healthcheck)
main.add_command(migrate)
main.add_command(models)
main.add_command(registry)
main.add_command(serve)
