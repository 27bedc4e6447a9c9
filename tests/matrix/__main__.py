"""``make matrix``: the table of answers, as a cell's status and ``!`` where it is not what the rule says."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from tests.matrix.rows import CALLERS, rows
from tests.matrix.world import world


def main() -> None:
    """Print it. Raises SystemExit where a cell is wrong."""
    table = list(rows())
    width = max(len(str(row)) for row in table)
    wrong = cells = 0
    with tempfile.TemporaryDirectory() as folder, world(Path(folder)) as made:
        for gateway in made.gateways:
            click.echo(f"\n{gateway:{width}}  " + "  ".join(CALLERS))
            for row in table:
                expected = row.at(gateway)
                if expected is None:
                    continue
                answers = [made.ask(gateway, row, caller).status_code for caller in CALLERS]
                marks = ["" if got == want else "!" for got, want in zip(answers, expected, strict=True)]
                shown = [f"{got}{mark}" for got, mark in zip(answers, marks, strict=True)]
                click.echo(
                    f"{row!s:{width}}  "
                    + "  ".join(f"{text:{len(who)}}" for text, who in zip(shown, CALLERS, strict=True))
                )
                wrong, cells = wrong + marks.count("!"), cells + len(marks)
    click.echo(f"\n{cells} cells, {wrong} not as the rule says")
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
