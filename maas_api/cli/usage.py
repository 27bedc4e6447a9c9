"""``maas-api usage``: sums of calls and tokens straight from the store, for an operator with access to the database."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from maas_api.cli.options import SectionedCommand, settings_options
from maas_api.cli.store import opened, plain
from maas_api.config import PLATFORM, STORE, USAGE
from maas_api.usage.query import DIMENSIONS, INTERVALS

if TYPE_CHECKING:
    from maas_api.usage.report import Line, Report

FOCUS_GROUPS = ("key", "subscription", "model", "provider")
"""What FOCUS rows are by, each day."""
_TABLE = (
    ("requests", "requests"),
    ("errors", "errors"),
    ("unmetered", "unmetered"),
    ("inputTokens", "input"),
    ("cachedInputTokens", "cached"),
    ("outputTokens", "output"),
)
"""The numbers of a table, and their headings; the other forms have every number."""


@click.command(cls=SectionedCommand)
@settings_options(STORE, PLATFORM, USAGE)
@click.option(
    "--from", "from_", default="", metavar="DAY", help="A day or a time with an offset. Default: 30 days back."
)
@click.option("--to", default="", metavar="DAY", help="The same, not included. Default: now.")
@click.option("--interval", type=click.Choice(INTERVALS), default="day", show_default=True, help="One line for each.")
@click.option("--by", "groups", type=click.Choice(DIMENSIONS), multiple=True, help="Lines for each of these; repeat.")
@click.option("--user", "user", multiple=True, help="Only this user's calls; repeat for more.")
@click.option("--key", "key", multiple=True, metavar="ID", help="Only this key's; repeat for more.")
@click.option("--of-subscription", "subscription", multiple=True, help="Only this subscription's; repeat for more.")
@click.option("--model", "model", multiple=True, help="Only this model's; repeat for more.")
@click.option("--provider", "provider", multiple=True, help="Only this provider's; repeat for more.")
@click.option(
    "--endpoint", "endpoint", multiple=True, help="chat, completions, responses, embeddings, messages; repeat."
)
@click.option(
    "--output",
    type=click.Choice(["table", "csv", "json", "focus"]),
    default="table",
    help="For people, or for scripts.",
)
def usage(from_: str, to: str, interval: str, groups: tuple[str, ...], output: str, **values: Any) -> None:
    """Show who used how much.

    For an operator with access to the database: the whole tenant, nothing here asks who is allowed. focus: a row for
    each day, key, model and kind of token, in the columns of FOCUS.
    """
    asked: dict[str, Sequence[str]] = {name: values.pop(name) for name in DIMENSIONS}
    if output == "focus":
        interval, groups = "day", FOCUS_GROUPS
    parameters = {"from": [from_], "to": [to], "interval": [interval], "groupBy": [",".join(groups)], **asked}
    with opened(values) as (database, settings):
        from maas_api.usage.assembly import operator_service
        from maas_api.usage.http import report_json

        service = operator_service(settings, database)
        report = service.everyone({name: given for name, given in parameters.items() if any(given)})
        priced = bool(service.prices())
        if output == "focus":
            from maas_api.usage.http.focus import as_focus

            click.echo(as_focus(report, service.prices()), nl=False)
        elif output == "csv":
            click.echo(report_json.as_csv(report, priced=priced), nl=False)
        elif output == "json":
            click.echo(json.dumps(report_json.as_json(report, priced=priced), indent=2, ensure_ascii=False))
        else:
            _print_table(report)


def _print_table(report: Report) -> None:
    """Lines under headings, names to the left and numbers to the right, the total last."""
    from maas_api.usage.report import as_fields

    timed = report.query.interval != "total"
    currencies = sorted(report.total.cost.amounts)
    heads = [*(["start"] if timed else []), *report.query.group_by]
    texts = len(heads)

    def numbers(line: Line) -> list[str]:
        from maas_api.usage.prices import shown

        fields = as_fields(line, priced=False)
        costs = [
            shown(line.cost.amounts[currency]) if currency in line.cost.amounts else "-" for currency in currencies
        ]
        return [f"{fields[name]:,}" for name, _head in _TABLE] + costs

    rows = [[*heads, *(head for _name, head in _TABLE), *currencies]]
    for line in report.lines:
        start = [] if line.start is None else [line.start.strftime("%Y-%m-%d %H:%M")]
        rows.append([*start, *(_named(report, *pair) for pair in zip(report.query.group_by, line.group, strict=True))])
        rows[-1] += numbers(line)
    rows.append([*(["total", *[""] * (texts - 1)] if texts else []), *numbers(report.total)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.ljust(width) if column < texts else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip())


def _named(report: Report, dimension: str, value: str) -> str:
    known = report.names.get(value) if dimension == "key" else None
    return plain(f"{value} ({known.name})" if known else value or "-")
