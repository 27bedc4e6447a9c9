"""The ``maas-api`` command. Each subcommand's module is imported when it is asked for, and no other."""

from __future__ import annotations

import importlib

import click

from maas_api import __version__

COMMANDS = {
    "audit": "Show who did what to which keys, newest first.",
    "cleanup": "Remove ephemeral keys that expired more than half an hour ago.",
    "demo": "One key, three models, one command: the whole request flow on this machine.",
    "gateway": "Resources for a cluster's gateway.",
    "healthcheck": "Ask the service on this machine whether it is ready; exit 0 if so.",
    "keys": "Create, list, show, revoke and rotate keys in the store, and move them from one to another.",
    "migrate": "Bring the store's schema up to date.",
    "models": "Print the model catalog: every entry's source and freshness, and why an object was left out.",
    "registry": "Work with the registry of external models.",
    "serve": "Serve the API: mint keys, list models, validate every call.",
    "usage": "Show who used how much.",
}
"""The subcommands and what each is for: each is the function of that name in the module of that name."""


class _Lazily(click.Group):
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

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands and what each is for."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Lazily, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="maas-api")
def main() -> None:
    """MaaS API: one key for every model behind the gateway."""
