"""``make fuzz``: a long campaign. Ends 1 with schemathesis' account of the first failure."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.campaign import campaign


def main() -> int:
    """Run the campaign and print a line per run."""
    options = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    options.add_argument("--cases", type=int, default=10_000, help="how many requests to send (default: 10000)")
    options.add_argument("--seed", type=int, default=1, help="the first run's seed; the next runs count on")
    chosen = options.parse_args()
    total, begun = 0, time.monotonic()
    with tempfile.TemporaryDirectory(prefix="maas-api-fuzz-") as folder:
        for name, report in campaign(Path(folder), chosen.cases, first_seed=chosen.seed):
            total += report.cases
            print(f"{total:>7} cases  {'ok  ' if report.passed else 'FAIL'}  {name}", flush=True)
            if not report.passed:
                print(report.text)
                return 1
    print(f"{total} cases in {time.monotonic() - begun:.0f} s: no undeclared status, no 5xx, no schema violation")
    return 0


if __name__ == "__main__":
    sys.exit(main())
