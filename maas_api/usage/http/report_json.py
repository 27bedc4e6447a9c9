"""A report on the wire: JSON, CSV, and the columns of FOCUS. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from maas_api.tabular import cell, written
from maas_api.usage.prices import shown
from maas_api.usage.report import Line, Report, as_fields


def as_json(report: Report, *, priced: bool) -> dict[str, Any]:
    """The report. Money is text, exact, by currency; ``priced`` says whether any model has a price."""
    query = report.query
    return {
        "object": "usage",
        "from": _time(query.start),
        "to": _time(query.end),
        "interval": query.interval,
        "groupBy": list(query.group_by),
        "data": [
            {
                **({} if line.start is None else {"start": _time(line.start)}),
                **_group(report, line),
                **_numbers(line, priced=priced),
            }
            for line in report.lines
        ],
        "total": _numbers(report.total, priced=priced),
    }


def as_csv(report: Report, *, priced: bool) -> str:
    """The report's lines as RFC 4180, one line a row; costs have a column for each currency."""
    currencies = sorted({currency for line in report.lines for currency in line.cost.amounts})
    rows = []
    for line in report.lines:
        group = _group(report, line)
        group.pop("keyLabels", None)
        rows.append(
            {
                **({} if line.start is None else {"start": _time(line.start)}),
                **{name: cell(value) for name, value in group.items()},
                **{name: "" if value is None else value for name, value in as_fields(line, priced=priced).items()},
                **{f"cost{currency}": shown(line.cost.amounts.get(currency, Decimal(0))) for currency in currencies},
            }
        )
    return written(_header(report, currencies, priced=priced), rows)


def _header(report: Report, currencies: Iterable[str], *, priced: bool) -> list[str]:
    start = [] if report.query.interval == "total" else ["start"]
    groups = [name for item in report.query.group_by for name in ((item, "keyName") if item == "key" else (item,))]
    return [*start, *groups, *as_fields(report.total, priced=priced), *(f"cost{currency}" for currency in currencies)]


def _group(report: Report, line: Line) -> dict[str, Any]:
    """The line's dimensions; beside a key's id what it is or was called."""
    found: dict[str, Any] = {}
    for name, value in zip(report.query.group_by, line.group, strict=True):
        found[name] = value
        if name == "key":
            known = report.names.get(value)
            found["keyName"] = known.name if known else ""
            if known and known.labels:
                found["keyLabels"] = dict(known.labels)
    return found


def _numbers(line: Line, *, priced: bool) -> dict[str, Any]:
    fields = as_fields(line, priced=priced)
    if priced:
        fields["cost"] = {currency: shown(amount) for currency, amount in sorted(line.cost.amounts.items())}
    return fields


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
