"""Settings as command-line options, grouped by section as the settings are."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from maas_api import config
from maas_api.config import Settings

_F = TypeVar("_F", bound=Callable[..., Any])


class SectionedCommand(click.Command):
    """A command whose help lists the settings under their sections."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, the command's own first."""
        sections: dict[str, list[tuple[str, str]]] = {}
        by_name = {field.name: field for field in dataclasses.fields(Settings)}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is None:
                continue
            field = by_name.get(param.name or "")
            title = field.metadata["section"] if field is not None else "Options"
            sections.setdefault(title, []).append(record)
        own = sections.pop("Options", [])
        for title, rows in [("Options", own), *sections.items()]:
            with formatter.section(title):
                formatter.write_dl(rows)


def settings_options(*sections: str) -> Callable[[_F], _F]:
    """Add an option for every setting, or for those of the named sections."""

    def decorate(command: _F) -> _F:
        for field in reversed(dataclasses.fields(Settings)):
            meta = field.metadata
            if sections and meta["section"] not in sections:
                continue
            default = f" [default: {meta['default']}]" if meta["default"] and not meta["switch"] else ""
            text = f"{meta['help']}{default} [env: {meta['env']}]"
            flag = config.flag_name(field)
            if meta["switch"]:
                option = click.option(f"{flag}/--no-{flag[2:]}", field.name, default=None, help=text)
            else:
                option = click.option(flag, field.name, default=None, metavar=_metavar(field), help=text)
            command = option(command)
        return command

    return decorate


def _metavar(field: dataclasses.Field[Any]) -> str:
    kind = str(field.type)
    if "Path" in kind:
        return "PATH"
    return {"int": "N", "float": "SECONDS"}.get(kind, "TEXT")


def load_settings(values: dict[str, Any], **forced: Any) -> Settings:
    """Settings from parsed options and the environment; ``forced`` replaces fields afterwards.

    Raises click.UsageError (exit 2) with one sentence for a wrong value.
    """
    names = {field.name for field in dataclasses.fields(Settings)}
    flags = {name: value for name, value in values.items() if name in names and value is not None}
    try:
        settings = config.load(flags, os.environ)
    except config.ConfigError as fault:
        raise click.UsageError(str(fault)) from None
    return dataclasses.replace(settings, **forced) if forced else settings
