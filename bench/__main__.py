"""``make bench``: every bench, one after the other, each with its conditions.

    python -m bench [--quick] [--only throughput --only scale ...]

The numbers belong to the machine of the day; the ratios, whose sides are measured next to each other, say more.
"""

from __future__ import annotations

import argparse

from bench import load, models, outage, revocation, scale, throughput
from bench.machine import conditions

SUITES = {
    "throughput": throughput.run,
    "scale": scale.run,
    "revocation": revocation.run,
    "outage": outage.run,
    "models": models.run,
}


def main() -> None:
    """Run the chosen suites."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="short runs: whether it works, not how fast it is")
    parser.add_argument("--only", action="append", choices=list(SUITES), help="one suite; repeat for more")
    options = parser.parse_args()
    chosen = options.only or list(SUITES)
    if "throughput" in chosen:
        load.need_wrk()
    print(conditions() + (", quick: these numbers say nothing" if options.quick else ""))
    for name in chosen:
        SUITES[name](quick=options.quick)


if __name__ == "__main__":
    main()
