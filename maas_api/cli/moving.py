"""``maas-api keys export`` and ``import``: keys as a file, out of one store and into another."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from maas_api.cli.options import SectionedCommand, settings_options
from maas_api.cli.store import opened
from maas_api.config import AUDIT, KEYS, PLATFORM, STORE

if TYPE_CHECKING:
    from maas_api.keys.statements.moving import Plan

_SHOWN = 20
_LINE_MAX = 1_048_576


@click.command("export", cls=SectionedCommand)
@settings_options(STORE, PLATFORM, KEYS, AUDIT)
@click.argument("file", default="-", type=click.Path(dir_okay=False, path_type=Path, allow_dash=True))
@click.option(
    "--hashes",
    is_flag=True,
    help="With the hashes of the secrets, without which an import lets nobody in. Keep it safe.",
)
def export(file: Path, *, hashes: bool, **values: Any) -> None:
    """Write every key of the tenant to FILE (readable by you alone) or the output, as JSON lines. Never a secret."""
    with opened(values) as (database, settings):
        from maas_api.keys.operator import Operator
        from maas_api.keys.statements.store import KeyStore

        lines = Operator(settings, KeyStore(database, settings.tenant_name)).export(hashes=hashes)
        text = (json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)
        if str(file) == "-":
            for part in text:
                sys.stdout.buffer.write(part)
            return
        try:
            _write(file, text)
        except OSError as fault:
            raise click.ClickException(f"{file}: {fault.strerror}") from None
        click.echo(f"{len(lines) - 2} keys {'with' if hashes else 'without'} their hashes", err=True)


def _write(file: Path, text: Iterable[bytes]) -> None:
    """In place of what is there, whole or not at all, with mode 0600."""
    descriptor, made = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)  # 0600, whatever the umask
    try:
        with os.fdopen(descriptor, "wb") as opened_file:
            opened_file.writelines(text)
            opened_file.flush()
            os.fsync(opened_file.fileno())
        Path(made).replace(file)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(made).unlink()
        raise


@click.command("import", cls=SectionedCommand)
@settings_options(STORE, PLATFORM, KEYS, AUDIT)
@click.argument("file", type=click.File("rb"))
@click.option("--sha256", "foreign", is_flag=True, help="FILE is another gateway's: SHA-256 hashes of whole keys.")
@click.option("--dry-run", is_flag=True, help="Say what it would be, and change nothing.")
@click.option("--skip-bad", is_flag=True, help="Import the good lines where some are bad. Default: all or none.")
def import_keys(file: Any, *, foreign: bool, dry_run: bool, skip_bad: bool, **values: Any) -> None:
    """Take in keys from FILE: an export with --hashes, or another gateway's hashes. Twice is as good as once."""
    with opened(values) as (database, settings):
        from maas_api.keys.operator import Operator
        from maas_api.keys.statements.store import KeyStore

        operator = Operator(settings, KeyStore(database, settings.tenant_name))
        done = operator.take_in(_lines(file), foreign=foreign, dry_run=dry_run, partly=skip_bad)
        refused = bool(done.problems) and not skip_bad
        _print(done, changed=not (dry_run or refused))
        if done.problems:
            raise SystemExit(1)


def _lines(file: Any) -> Iterable[bytes]:
    while line := file.readline(_LINE_MAX):
        yield line.rstrip(b"\r\n")


def _print(done: Plan, *, changed: bool) -> None:
    for problem in done.problems[:_SHOWN]:
        click.echo(str(problem), err=True)
    if len(done.problems) > _SHOWN:
        click.echo(f"and {len(done.problems) - _SHOWN} more", err=True)
    for one in done.kept[:_SHOWN]:
        click.echo(f"line {one.line}: {one.record.id} is here otherwise than in the file, and stays as it is", err=True)
    for count, what in (
        (len(done.new), "new"),
        (len(done.ended), "revoked in the file, active here: revoked"),
        (len(done.same), "here already"),
        (len(done.kept), "here otherwise: kept as they are"),
        (len(done.problems), "bad lines"),
    ):
        click.echo(f"{count:>8}  {what}")
    if not changed or not (done.new or done.ended):
        click.echo("nothing is changed")
