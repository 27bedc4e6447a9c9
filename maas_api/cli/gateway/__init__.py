"""``maas-api gateway``: resources for a cluster's gateway."""

from __future__ import annotations

import click

from maas_api.cli.gateway.mesh import mesh_values, secret
from maas_api.cli.gateway.render import render
from maas_api.cli.sentences import WholeSentences


@click.group(cls=WholeSentences)
def gateway() -> None:
    """Resources for a cluster's gateway."""


for command in (render, secret, mesh_values):
    gateway.add_command(command)
