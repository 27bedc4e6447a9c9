"""``make pictures``: docs/performance.md and its charts, made anew of the results that are kept."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.pictures.document import FOLDER, RESULTS, files
from bench.pictures.findings import ROOT, read


def main(root: Path = ROOT) -> None:
    """Write them, and take away charts that nothing is left of."""
    made = files(read(root / RESULTS))
    for old in (root / FOLDER).glob("*.svg"):
        if old.relative_to(root) not in made:
            old.unlink()
    for place, text in made.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text(text)
        sys.stdout.write(f"{place}\n")


if __name__ == "__main__":
    main()
