"""``make secrecy``: a key in every place of every route's request, and who got to see it.

Ends 1 where a model's server or a provider received a key, or any log shows one.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from tests.matrix.world import World, world
from tests.secrecy.routes import routes
from tests.secrecy.table import GROUPS, Row, in_logs, row, service_log

GATEWAYS = ("native", "istio", "kuadrant")


def main() -> None:
    """Print the table. Raises SystemExit where a key is where it may not be."""
    options = argparse.ArgumentParser(prog="make secrecy", description=__doc__)
    options.add_argument("--gateway", action="append", choices=GATEWAYS, help="one of them; repeat for more")
    options.add_argument("--route", default="", help="only routes that have this in them")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with service_log(folder / "service.log"), world(folder) as made:
            rows = [one for gateway in chosen.gateway or GATEWAYS for one in _of(made, gateway, chosen.route)]
        raise SystemExit(judged(rows, folder))


def judged(rows: list[Row], folder: Path) -> int:
    """Say what is wrong, after all has ended and written its logs below ``folder``. 0 where nothing is, else 1."""
    logged = [f"in a log, {line}" for line in in_logs(folder, {one.key: f"{one.gateway}, {one.route}" for one in rows})]
    received = [f"{one.gateway}, {one.route}: {leak}" for one in rows for leak in one.leaks]
    for line in (*received, *logged):
        click.echo(line)
    asked, arrived = sum(one.asked for one in rows), sum(sum(one.arrived.values()) for one in rows)
    click.echo(
        f"\n{len(rows)} routes, {asked} requests with a key in them, {arrived} reached a model's server: "
        f"{len(received)} with the key, {len(logged)} lines of logs show it"
    )
    return int(bool(received or logged or not arrived))


def _of(made: World, gateway: str, only: str) -> Iterator[Row]:
    chosen = [route for route in routes(gateway) if only in str(route)]
    width = max(len(str(route)) for route in chosen)
    click.echo(f"\n{gateway:{width}}  " + "".join(f"{group:30}" for group in GROUPS) + "who received a key")
    for route in chosen:
        one = row(made, gateway, route)
        shown = (_shown(one.statuses[group], one.arrived[group]) for group in GROUPS)
        seen = f"{len(one.leaks)} times a model" if one.leaks else "nobody"
        click.echo(f"{one.route:{width}}  " + "".join(f"{text:30}" for text in shown) + seen)
        yield one


def _shown(statuses: Mapping[int, int], arrived: int) -> str:
    text = " ".join(f"{status}x{count}" for status, count in sorted(statuses.items()))
    return f"{text} ({arrived})" if arrived else text or "-"


if __name__ == "__main__":
    main()
