"""The ``maas-api`` command. Each subcommand's module is imported when it is asked for, and no other."""

from __future__ import annotations

import importlib

import click

from maas_api import __version__
from maas_api.cli.options import WholeSentences

COMMANDS = (
    "audit", "cleanup", "demo", "gateway", "healthcheck", "keys", "migrate", "models", "registry", "serve", "usage"
)  # fmt: skip
"""The subcommands: each is the function of that name in the module of that name."""


class _Lazily(WholeSentences):
    """A group that knows its commands' names. A probe that runs every few seconds must not load the whole service."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every name, for the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, or None."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"maas_api.cli.{cmd_name}"), cmd_name)
        return command


@click.group(cls=_Lazily, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="maas-api")
def main() -> None:
    """MaaS API: one key for every model behind the gateway."""
