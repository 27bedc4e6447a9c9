"""Keys: the list, one of them, and what may be done: mint, rotate, revoke."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

from flask import Response, request
from werkzeug.wrappers import Response as BaseResponse

from maas_api.errors import ApiError, encode
from maas_api.identity.headers import Identity
from maas_api.keys.faults import policy_is_400
from maas_api.keys.fleet import KeyFleet
from maas_api.keys.format import NewKey
from maas_api.keys.http import json_types, schemas
from maas_api.keys.http.key_json import warnings_json
from maas_api.keys.http.minting import Unmatched
from maas_api.keys.record import KeyRecord
from maas_api.keys.service import KeyService
from maas_api.models.calls import Calls
from maas_api.page import charts, words
from maas_api.page.forms import UNITS, Form, mint_body, page_number, search_body
from maas_api.page.views.reports import Reports
from maas_api.page.views.shell import ROOT, Shell, message

MODELS_OFFERED: Final = 60
"""So many models can be ticked; beyond that they are written."""
_GRACES: Final = ((0, "at once"), (3600, "after an hour"), (86400, "after a day"), (604800, "after a week"))
_DONE: Final = {"revoked": "The key is revoked. It is refused from now on."}
_EVERYONE: Final = "everyone"


class Services(NamedTuple):
    """What answers. ``subscriptions``: the names of those that somebody may bind a key to."""

    keys: KeyService
    fleet: KeyFleet
    unmatched: Unmatched
    calls: Calls
    subscriptions: Callable[[Identity], list[str]]
    budgets: Callable[[KeyRecord], list[dict[str, Any]]]
    reports: Reports
    gateway: Callable[[], str]


def register(shell: Shell, services: Services) -> None:
    """The addresses below ``keys``."""
    views = shell.views
    keys = services.keys
    minting, searching = schemas.MintBody(), schemas.SearchBody()

    @views.get(f"{ROOT}keys")
    def listed() -> Response:
        query = shell.query()
        whose = query.text("user") if shell.admin else ""
        username = "" if whose == _EVERYONE else whose or shell.visitor.who.username
        with policy_is_400():
            asked = json_types.load(searching, encode(search_body(query, username)))
        found, more = services.fleet.search(shell.visitor.who, asked)
        now = keys.now()
        return shell.render(
            "keys.html",
            rows=[(record, record.status_at(now)) for record in found],
            more=more,
            page=page_number(query),
            q=query.text("q"),
            status=query.text("status"),
            whose=whose,
            done=_DONE.get(query.text("done"), ""),
        )

    @views.get(f"{ROOT}keys/new")
    def new() -> Response:
        return minting_form(Form({"scope": ["all"], "unit": ["days"], "model": request.args.getlist("model")[:1]}))

    def minting_form(form: Form, problem: str = "", status: int = 200) -> Response:
        ids = model_ids()
        return shell.render(
            "new_key.html",
            status,
            form=form,
            chosen=form.all("model"),
            problem=problem,
            models=ids if len(ids) <= MODELS_OFFERED else (),
            units=tuple(UNITS),
            days=keys.life.max_days,
            subscriptions=services.subscriptions(shell.visitor.who),
        )

    def model_ids() -> list[str]:
        try:
            rows = services.calls.view(shell.visitor.caller).rows
        except ApiError:  # the catalog or the subscriptions cannot say now: ids can be written
            return []
        return list(dict.fromkeys(row.entry.called for row in rows))

    @views.post(f"{ROOT}keys/new")
    def mint() -> BaseResponse:
        form = shell.form()
        try:
            with policy_is_400():
                asked = json_types.load(minting, encode(mint_body(form)))
            made = keys.mint(shell.visitor.who, asked)
        except ApiError as fault:
            return minting_form(form, message(fault), fault.status)
        idle = services.unmatched(shell.visitor.who, made.record.subscription, made.record.models or ())
        return shown_once(made.secret, made.record, warnings_json(idle, made.dropped).get("warnings", []))

    def shown_once(secret: NewKey, record: KeyRecord, warnings: list[str], note: str = "") -> Response:
        return shell.render(
            "secret.html",
            201,
            key=secret.plaintext,
            record=record,
            warnings=warnings,
            note=note,
            gateway=services.gateway(),
        )

    @views.get(f"{ROOT}keys/<key_id>")
    def one(key_id: str) -> Response:
        record = keys.get(shell.visitor.who, key_id)
        now = keys.now()
        report = services.reports.of_key(shell.visitor.who, key_id)
        return shell.render(
            "key.html",
            record=record,
            status=record.status_at(now),
            mine=record.username == shell.visitor.who.username,
            budgets=budgets(record),
            report=report,
        )

    def budgets(record: KeyRecord) -> list[dict[str, Any]]:
        return [_standing(budget) for budget in services.budgets(record)]

    @views.get(f"{ROOT}keys/<key_id>/revoke")
    def revoking(key_id: str) -> Response:
        record = keys.get(shell.visitor.who, key_id)
        return shell.render("revoke.html", record=record, status=record.status_at(keys.now()))

    @views.post(f"{ROOT}keys/<key_id>/revoke")
    def revoke(key_id: str) -> BaseResponse:
        keys.revoke(shell.visitor.who, key_id)
        return shell.go("keys?done=revoked")

    @views.get(f"{ROOT}keys/<key_id>/rotate")
    def rotating(key_id: str) -> Response:
        record = keys.get(shell.visitor.who, key_id)
        graces = [grace for grace in _GRACES if grace[0] <= keys.rotation_grace_max]
        return shell.render("rotate.html", record=record, graces=graces)

    @views.post(f"{ROOT}keys/<key_id>/rotate")
    def rotate(key_id: str) -> BaseResponse:
        with policy_is_400():
            grace = shell.form().whole("grace", "The old secret stops")
        done = keys.rotate(shell.visitor.who, key_id, grace_seconds=grace or 0, idempotency_key=None)
        until = done.old_valid_until
        note = "The old secret is refused from now on."
        if until is not None:
            note = f"The old secret is good until {until:%Y-%m-%d %H:%M} UTC."
        return shown_once(done.secret, done.record, [], note)


def _standing(budget: Mapping[str, Any]) -> dict[str, Any]:
    """Where a budget stands, in words: of tokens, or of money as text."""
    amount, unit = (budget["cost"], budget["currency"]) if "cost" in budget else (budget["tokens"], "tokens")
    whole, used, left = (Decimal(part) for part in (amount, budget["used"], budget["remaining"]))
    until = budget["resets_at"]
    return {
        "title": "In all" if budget["per"] == "total" else f"This {budget['per']}",
        "amount": f"{whole:,}",
        "used": f"{used:,}",
        "left": f"{left:,}",
        "unit": unit,
        "until": until and words.moment(datetime.fromisoformat(until)),
        "percent": charts.share(used, whole),
    }
