"""``maas-api audit``: who did what to which keys, straight from the store, for an operator with access to it."""

from __future__ import annotations

import json
from typing import Any

import click

from maas_api.audit.origin import KINDS
from maas_api.audit.query import MAX_LIMIT
from maas_api.audit.record import ACTIONS, OUTCOMES
from maas_api.cli.options import SectionedCommand, settings_options
from maas_api.cli.store import opened, plain
from maas_api.config import PLATFORM, STORE

_TABLE = ("at", "action", "outcome", "actor", "via", "owner", "keys", "keyIds")


@click.command(cls=SectionedCommand)
@settings_options(STORE, PLATFORM)
@click.option("--from", "from", default="", metavar="DAY", help="A day or a time with an offset. Default: all.")
@click.option("--to", "to", default="", metavar="DAY", help="The same, not included. Default: now.")
@click.option("--action", "action", type=click.Choice(ACTIONS), help="Only what is this.")
@click.option("--outcome", "outcome", type=click.Choice(OUTCOMES), help="Only what came to this.")
@click.option("--actor", "actor", default="", metavar="USER", help="Only what this user did.")
@click.option("--owner", "owner", default="", metavar="USER", help="Only what was done to this user's keys.")
@click.option("--key", "key", default="", metavar="ID", help="Only what was done to this key.")
@click.option("--via", "via", type=click.Choice(KINDS), help="Only what was done with such a credential.")
@click.option("--via-key", "viaKey", default="", metavar="ID", help="Only what was done with this key.")
@click.option("--request-id", "requestId", default="", metavar="ID", help="Only what this request did.")
@click.option("--limit", type=click.IntRange(1, MAX_LIMIT), default=50, show_default=True, help="Most records printed.")
@click.option("--after", "after", default="", metavar="NEXT", help="The next page: what the one before named.")
@click.option(
    "--output", type=click.Choice(["table", "csv", "json"]), default="table", help="For people, or for scripts."
)
def audit(output: str, limit: int, **values: Any) -> None:
    """Show who did what to which keys, newest first.

    For an operator with access to the database: the whole tenant, nothing here asks who is allowed.
    """
    names = ("from", "to", "action", "outcome", "actor", "owner", "key", "via", "viaKey", "requestId", "after")
    given = {name: values.pop(name) for name in names}
    asked = {name: [str(value)] for name, value in given.items() if value} | {"limit": [str(limit)]}
    with opened(values) as (database, settings):
        from maas_api.audit import encoding, query
        from maas_api.audit.assembly import operator_service

        found, more = operator_service(settings, database).everything(asked)
        after = query.place(found[-1].at, found[-1].id) if more else ""
        if output == "csv":
            click.echo(encoding.as_csv(found), nl=False)
        elif output == "json":
            listed = {"data": [encoding.as_json(entry) for entry in found], "has_more": more}
            click.echo(json.dumps(listed | ({"next": after} if after else {}), indent=2, ensure_ascii=False))
        else:
            _print_table([encoding.as_json(entry) for entry in found])
        if after and output != "json":
            click.echo(f"more: --after {after}", err=True)


def _print_table(rows: list[dict[str, Any]]) -> None:
    cells = [list(_TABLE), *([_cell(row.get(name, "-")) for name in _TABLE] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_TABLE))]
    for line in cells:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    if isinstance(value, list):
        value = value[0] if len(value) == 1 else f"{value[0]} and {len(value) - 1} more"
    return plain(value)
