"""``maas-api registry``: the external models' ConfigMap, checked before it is applied."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from maas_api.cli.sentences import WholeSentences

if TYPE_CHECKING:
    from maas_api.models.sources.lint import Report


@click.group(cls=WholeSentences)
def registry() -> None:
    """Work with the registry of external models."""


@registry.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE|FOLDER...")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", help="For people, or for CI.")
def lint(files: tuple[str, ...], output: str) -> None:
    """Check registry files: manifests with the ConfigMap in them, or bare lists of entries. ``-`` reads stdin.

    Of a folder every .yaml and .yml file is read, subfolders too; those that hold no registry are passed over.

    Every problem names the file, the line, the entry, the field and the rule. Exit code 0: all good. 1: problems.
    2: a file cannot be read.
    """
    from maas_api.models.sources import lint as linter  # yaml and marshmallow only once there is something to check

    reports = [report for file in files for report in _reports(file, linter.check)]
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


def _reports(file: str, check: Callable[[str, str], Report]) -> list[Report]:
    """One report for a file. Of a folder, one for each file that has to do with a registry."""
    if not Path(file).is_dir():
        return [check(_read(file), file)]
    inside = sorted(str(path) for path in Path(file).rglob("*") if path.suffix in (".yaml", ".yml"))
    found = [report for path in inside if not (report := check(_read(path), path)).without_registry]
    if not found:
        raise click.UsageError(f"{file}: none of the {_count(len(inside), 'file', 'files')} in it holds a registry")
    return found


def _read(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        reason = fault.strerror if isinstance(fault, OSError) else "not UTF-8 text"
        raise click.UsageError(f"{file}: cannot be read: {reason}") from None


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
