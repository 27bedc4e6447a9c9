"""``make bench``: every bench, one after the other, each with its conditions.

    python -m bench [--quick] [--only throughput --only growth ...] [--publish] [--before PATH] [--peer PATH]

All of it takes more than ten minutes on an idle machine, and says after each suite what it took; --quick runs all of
them short. The suites throughput, sides, tail, arrivals, ratios and growth need wrk (apt-get install wrk), the
others nothing. However it ends, what it started ends with it.

ratios and growth also draw: into .bench/, or with --publish into docs/performance.md, which shows the last run that was
kept. Such a run may be made in pieces, suite by suite.

--before and --peer add sides to the suite sides: a checkout of an earlier commit of this service, run by the same
Python, and one of the Go service, which is built (it needs Go) and served beside ours on the same PostgreSQL. tail and
arrivals have --before as well.

The numbers belong to the machine of the day; the ratios, whose sides are measured next to each other, say more.
"""

from __future__ import annotations

import argparse
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType

from bench import (
    arrivals,
    audit,
    authorizer,
    gateway,
    growth,
    load,
    memory,
    models,
    outage,
    quotas,
    ratios,
    revocation,
    sides,
    start,
    starved,
    tail,
    throughput,
    usage,
)
from bench.machine import conditions
from bench.pictures import __main__ as pictures
from bench.pictures import findings
from bench.pictures.document import RESULTS
from bench.pictures.findings import ROOT, Chart, Run

SUITES: dict[str, Callable[..., tuple[Chart, ...] | None]] = {
    "start": start.run,
    "memory": memory.run,
    "throughput": throughput.run,
    "sides": sides.run,
    "tail": tail.run,
    "arrivals": arrivals.run,
    "authorizer": authorizer.run,
    "ratios": ratios.run,
    "growth": growth.run,
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
    parser.add_argument("--publish", action="store_true", help="keep what is drawn, for docs/performance.md")
    parser.add_argument("--before", type=Path, metavar="PATH", help="a checkout of an earlier commit, as one more side")
    parser.add_argument("--peer", type=Path, metavar="PATH", help="a checkout of the Go service, as one more side")
    options = parser.parse_args()
    chosen = options.only or list(SUITES)
    if {"throughput", "sides", "tail", "arrivals", "ratios", "growth"} & set(chosen):
        load.need_wrk()
    suites = {
        **SUITES,
        "sides": partial(sides.run, before=options.before, other=options.peer),
        "tail": partial(tail.run, before=options.before),
        "arrivals": partial(arrivals.run, before=options.before),
    }
    print(conditions() + (", quick: these numbers say nothing" if options.quick else ""))
    for number in _ENDING:
        signal.signal(number, _end)
    for name in chosen:
        begun, busy = time.monotonic(), os.getloadavg()[0]
        charts = suites[name](quick=options.quick)
        print(f"\n{name}: {time.monotonic() - begun:.0f} s", flush=True)
        if charts:
            under = findings.conditions(quick=options.quick, load=busy)
            _draw(Run(name, under, charts), ROOT if options.publish else ROOT / ".bench")


def _draw(run: Run, folder: Path) -> None:
    """Keep what a suite found, and draw all that is kept."""
    findings.save((run,), folder / RESULTS)
    pictures.main(folder)


_ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def _end(number: int, _frame: FrameType | None) -> None:
    """Leave through every ``finally``: servers and databases are ended there. Nothing may interrupt that."""
    for each in _ENDING:
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(128 + number)


if __name__ == "__main__":
    main()
