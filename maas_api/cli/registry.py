"""``maas-api registry``: the external models' ConfigMap, checked before it is applied."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click


@click.group()
def registry() -> None:
    """Work with the registry of external models."""


@registry.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", help="For people, or for CI.")
def lint(files: tuple[str, ...], output: str) -> None:
    """Check registry files: manifests with the ConfigMap in them, or bare lists of entries. ``-`` reads stdin.

    Every problem names the file, the line, the entry, the field and the rule. Exit code 0: all good. 1: problems.
    2: a file cannot be read.
    """
    from maas_api.models.sources import lint as linter  # yaml and marshmallow only once there is something to check

    reports = [linter.check(_read(file), file) for file in files]
    if output == "json":
        click.echo(json.dumps(linter.as_json(reports), indent=2, ensure_ascii=False))
    else:
        for report in reports:
            for problem in report.problems:
                click.echo(str(problem))
        problems, models = sum(len(r.problems) for r in reports), sum(len(r.ids) for r in reports)
        click.echo(f"{_count(models, 'good entry', 'good entries')}, {_count(problems, 'problem', 'problems')}")
    if any(report.problems for report in reports):
        raise click.exceptions.Exit(1)


def _read(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        reason = fault.strerror if isinstance(fault, OSError) else "not UTF-8 text"
        raise click.UsageError(f"{file}: cannot be read: {reason}") from None


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
