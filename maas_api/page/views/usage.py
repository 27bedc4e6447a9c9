"""Usage: tokens and cost by day, model and key; everyone's for an admin; the same as a file."""

from __future__ import annotations

from flask import Response

from maas_api.page.views.reports import SPANS, Reports
from maas_api.page.views.shell import ROOT, Shell
from maas_api.usage.http.report_json import as_csv


def register(shell: Shell, reports: Reports) -> None:
    """``usage`` and ``usage.csv``."""
    views = shell.views

    def asked() -> tuple[int, str]:
        """How many days, and whose: "" for everyone's."""
        query = shell.query()
        span = next((days for days in SPANS if str(days) == query.text("days")), 30)
        everyone = query.text("whose") == "everyone" and shell.admin
        return span, "" if everyone else shell.visitor.who.username

    @views.get(f"{ROOT}usage")
    def usage() -> Response:
        who = shell.visitor.who
        span, username = asked()
        dimensions = {"model": "Model", "key": "Key"} | ({} if username else {"user": "User"})
        return shell.render(
            "usage.html",
            report=reports.by_day(who, span, username),
            breakdowns=[(title, reports.by(who, span, username, name)) for name, title in dimensions.items()],
            spans=SPANS,
            whose="" if username else "everyone",
        )

    @views.get(f"{ROOT}usage.csv")
    def usage_csv() -> Response:
        span, username = asked()
        report, priced = reports.everything(shell.visitor.who, span, username)
        made = Response(as_csv(report, priced=priced).encode(), content_type="text/csv; charset=utf-8; header=present")
        made.headers["Content-Disposition"] = 'attachment; filename="usage.csv"'
        return made
