"""``make bench``: every bench, one after the other, each with its conditions.

    python -m bench [--quick] [--only throughput --only scale ...]

All of it takes more than eight minutes on an idle machine, and says after each suite what it took; --quick runs all of
them short. The suite throughput needs wrk (apt-get install wrk), the others nothing. However it ends, what it started
ends with it.

The numbers belong to the machine of the day; the ratios, whose sides are measured next to each other, say more.
"""

from __future__ import annotations

import argparse
import signal
import time
from types import FrameType

from bench import (
    audit,
    authorizer,
    gateway,
    load,
    memory,
    models,
    outage,
    quotas,
    revocation,
    scale,
    start,
    starved,
    throughput,
    usage,
)
from bench.machine import conditions

SUITES = {
    "start": start.run,
    "memory": memory.run,
    "throughput": throughput.run,
    "authorizer": authorizer.run,
    "scale": scale.run,
    "revocation": revocation.run,
    "leaving": revocation.leaving,
    "outage": outage.run,
    "starved": starved.run,
    "models": models.run,
    "usage": usage.run,
    "quotas": quotas.run,
    "audit": audit.run,
    "gateway": gateway.run,
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
    for number in _ENDING:
        signal.signal(number, _end)
    for name in chosen:
        begun = time.monotonic()
        SUITES[name](quick=options.quick)
        print(f"\n{name}: {time.monotonic() - begun:.0f} s", flush=True)


_ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def _end(number: int, _frame: FrameType | None) -> None:
    """Leave through every ``finally``: servers and databases are ended there. Nothing may interrupt that."""
    for each in _ENDING:
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(128 + number)


if __name__ == "__main__":
    main()
