"""``make clients``: install client programs, try each against a running demo, print the table, write the document."""

from __future__ import annotations

import argparse
import concurrent.futures
import datetime
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from maas_api.demo.checks import Session
from maas_api.demo.stack import Stack
from tests.clients.install import InstallError, Place
from tests.clients.program import COLUMNS, Program, every
from tests.clients.report import Row, failures, heading, line, markdown
from tests.clients.running import BASES, Stand, try_column

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "clients.md"
CACHE = ROOT / ".venv" / "clients"

AT_ONCE = 2
"""Programs tried side by side, each against a demo of its own: what one of them sends is not another's."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Try what is asked for. Returns the exit code: 0 all that was tried passed, 1 not all did, 2 nothing was tried."""
    parser = argparse.ArgumentParser(prog="make clients", description=__doc__)
    parser.add_argument(
        "names", nargs="*", help="programs to try (files in tests/clients/programs); all if none is named"
    )
    parser.add_argument("--base", choices=BASES, action="append", help="where the clients call (may be repeated)")
    parser.add_argument("--column", choices=COLUMNS, action="append", help="only this column (may be repeated)")
    parser.add_argument(
        "--document", type=Path, default=None, help="where the document goes; docs/clients.md if all ran"
    )
    parser.add_argument("--jobs", type=int, default=AT_ONCE, help="programs tried side by side")
    options = parser.parse_args(arguments)
    programs = every()
    if options.names:
        unknown = set(options.names) - {program.name for program in programs}
        if unknown:
            parser.error(f"unknown {sorted(unknown)}, known: {', '.join(program.name for program in programs)}")
        programs = [program for program in programs if program.name in options.names]
    missing = [tool for tool in ("node", "npm") if shutil.which(tool) is None]
    if missing and any(program.runtime == "node" for program in programs):
        left = [program.title for program in programs if program.runtime == "node"]
        print(
            f"{' and '.join(missing)} not found (Node 20 or newer is needed), so these are left out: {', '.join(left)}."
        )
        programs = [program for program in programs if program.runtime != "node"]
    if not programs:
        return 2
    bases = options.base or list(BASES)
    rows = _try(programs, bases, options.column or list(COLUMNS), options.jobs)
    print()
    for sentence in failures(rows):
        print(sentence)
    whole = not (options.names or options.column or options.base or missing)
    document = options.document or (DOCUMENT if whole else None)
    if document:
        document.write_text(markdown(rows, datetime.datetime.now(tz=datetime.UTC).date().isoformat()), "utf-8")
        print(f"\nwritten: {document}")
    tried = [cell for row in rows for cell in row.cells.values() if cell.state != "–"]
    passed = sum(cell.state == "PASS" for cell in tried)
    print(f"\n{passed} of {len(tried)} cells pass")
    return 0 if passed == len(tried) and not any(row.broken for row in rows) else 1


def _try(programs: Sequence[Program], bases: Sequence[str], columns: Sequence[str], jobs: int) -> list[Row]:
    place = Place(CACHE, Path(sys.prefix) / "bin" / "uv", Path(sys.executable))
    width = max(len(program.title) for program in programs)
    print(heading(width))

    def one(program: Program) -> list[Row]:
        try:
            place.install(program)
        except InstallError as fault:
            return [Row(program, base, {}, str(fault)) for base in bases]
        found = []
        with standing() as stand:
            for base in bases:
                cells = {column: try_column(program, column, BASES[base], stand, place) for column in columns}
                found.append(Row(program, base, cells))
        return found

    rows: list[Row] = []
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for made in pool.map(one, programs):
            rows += made
            for row in made:
                print(
                    line(row, width)
                    if set(row.cells) >= set(COLUMNS) or row.broken
                    else f"{row.program.title}: {row.cells}",
                    flush=True,
                )
    return sorted(rows, key=lambda row: bases.index(row.base))


@contextmanager
def standing() -> Iterator[Stand]:
    """A demo of its own, with one key minted."""
    stack = Stack(Path(tempfile.mkdtemp(prefix="maas-clients-")))
    try:
        with stack:
            stack.start(lambda _: None)
            _, key = Session(stack, []).mint("clients")
            yield Stand(stack.envoy.address.port, key, lambda: sum(stack.received().values()))
    finally:
        stack.discard()


if __name__ == "__main__":
    raise SystemExit(main())
