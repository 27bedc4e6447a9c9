"""``maas-api models``: the catalog as this configuration sees it, and why each object that is missing is."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from maas_api.cli.options import SectionedCommand, load_settings, settings_options
from maas_api.config import CATALOG, PLATFORM, ConfigError

if TYPE_CHECKING:
    from maas_api.models.catalog import Catalog


@click.command(cls=SectionedCommand)
@settings_options(PLATFORM, CATALOG)
@click.option("--output", type=click.Choice(["table", "json"]), default="table", help="For people, or for scripts.")
@click.option("--wait", default=30.0, show_default=True, help="Seconds to wait for every source to be read.")
def models(output: str, wait: float, **values: Any) -> None:
    """Print the model catalog: every entry's source and freshness, and why an object was left out.

    Reads the folder of manifests or the cluster just as ``maas-api serve`` with the same options does. Exit code 1:
    a source could not be read in time; what is known is printed all the same.
    """
    settings = load_settings(values)
    from maas_api.kube import sources as kube_sources  # heavy imports only once the options are known to be right
    from maas_api.models import assembly

    try:
        sources = kube_sources.build(settings, os.environ)
    except ConfigError as fault:
        raise click.UsageError(str(fault)) from None
    catalog = assembly.catalog(settings, sources)
    running = [*sources.background, catalog]
    for part in running:
        part.start()
    try:
        complete = _complete(catalog, wait)
        report = describe(catalog)
    finally:
        for part in reversed(running):
            part.stop()
    click.echo(json.dumps(report, indent=2, ensure_ascii=False) if output == "json" else as_text(report))
    if not complete:
        raise click.exceptions.Exit(1)


def _complete(catalog: Catalog, seconds: float) -> bool:
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not catalog.complete and time.monotonic() < deadline:
        pause.wait(0.05)
    return catalog.complete


def describe(catalog: Catalog) -> dict[str, Any]:
    """The catalog's state as plain data."""
    snapshot = catalog.snapshot
    return {
        "models": [
            {
                "id": entry.id,
                "owned_by": entry.owned_by,
                "source": entry.source,
                "object": entry.origin,
                "ready": entry.ready,
                "note": entry.unready,
                "groups": sorted(entry.groups),
                "url": entry.url,
            }
            for entry in snapshot.entries
        ],
        "left_out": [omission._asdict() for omission in snapshot.omissions],
        "problems": catalog.complaints(),
        "sources": [
            {"name": status.name, "state": status.state, "age_seconds": round(status.age, 1), "detail": status.detail}
            for status in catalog.statuses()
        ],
    }


def as_text(report: dict[str, Any]) -> str:
    """The report for a terminal."""
    rows = [
        (item["id"], item["owned_by"], item["source"], item["object"], _state(item)) for item in report["models"]
    ] or [("(no models)", "", "", "", "")]
    if not report["sources"]:
        return (
            "(no models, and nowhere to read them from)\n\n"
            "Give --manifests FOLDER (in this repository examples/manifests), or --kubeconfig FILE for a cluster."
        )
    parts = [_table(("MODEL", "OWNED BY", "SOURCE", "OBJECT", "STATE"), rows)]
    sources = [
        (item["name"], item["state"], f"{item['age_seconds']:g} s ago", item["detail"]) for item in report["sources"]
    ]
    parts.append(_table(("READ FROM", "STATE", "LAST HEARD", "DETAIL"), sources))
    if report["left_out"]:
        missing = [(item["origin"], item["source"], item["reason"]) for item in report["left_out"]]
        parts.append(_table(("LEFT OUT", "SOURCE", "WHY"), missing))
    if report["problems"]:
        parts.append("PROBLEMS\n" + "\n".join(report["problems"]))
    return "\n\n".join(parts)


def _state(item: dict[str, Any]) -> str:
    state = "ready" if item["ready"] else f"not ready: {item['note']}"
    return f"{state}, only for {', '.join(item['groups'])}" if item["groups"] else state


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)
    )
