"""Models: what the visitor may call, and how."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final, NamedTuple

from flask import Response

from maas_api.errors import plain
from maas_api.models.calls import Calls
from maas_api.models.encoding import limits, supported_endpoints
from maas_api.models.model import ModelEntry
from maas_api.models.price import Price
from maas_api.page import snippets, words
from maas_api.page.forms import page_number
from maas_api.page.views.shell import ROOT, Shell
from maas_api.usage.prices import PriceBook

PAGE_SIZE: Final = 50


class Services(NamedTuple):
    """What answers. ``gateway``: the base URL that clients call, "" where nobody knows."""

    calls: Calls
    prices: Callable[[], PriceBook]
    now: Callable[[], datetime]
    gateway: Callable[[], str]


class Shown(NamedTuple):
    """A model as the page shows one."""

    id: str
    name: str
    description: str
    provider: str
    ready: bool
    reason: str
    context: int
    output: int
    price: str
    capabilities: tuple[str, ...]
    endpoints: list[str]


def register(shell: Shell, services: Services) -> None:
    """``models`` and ``model``."""
    views = shell.views

    def entries() -> list[ModelEntry]:
        """What the visitor may call, each name once."""
        rows = services.calls.view(shell.visitor.caller).rows
        return list({row.entry.id: row.entry for row in reversed(rows)}.values())[::-1]

    def shown_as(entry: ModelEntry) -> Shown:
        known = limits(entry)
        price = services.prices().at(entry.called, services.now())
        return Shown(
            entry.called,
            entry.details.display_name,
            entry.details.description,
            entry.owned_by,
            entry.ready,
            # Why a model of the cluster is not ready is for operators, as in the listing.
            entry.unready if entry.external or shell.admin else "",
            known.get("context_length", 0),
            known.get("max_output_tokens", 0),
            _price(price) if price is not None else "",
            entry.details.capabilities,
            supported_endpoints(entry),
        )

    @views.get(f"{ROOT}models")
    def models() -> Response:
        query = shell.query()
        found = list(_matching(entries(), query.text("q")))
        page = page_number(query)
        some = found[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
        return shell.render(
            "models.html",
            models=[shown_as(entry) for entry in some],
            number=len(found),
            page=page,
            more=len(found) > page * PAGE_SIZE,
            q=query.text("q"),
        )

    @views.get(f"{ROOT}model")
    def model() -> Response:
        wanted = shell.query().text("id")
        entry = next((entry for entry in entries() if wanted in (entry.called, entry.id)), None)
        if entry is None:
            raise plain(404, "There is no such model, or you may not call it")
        base = services.gateway()
        return shell.render(
            "model.html",
            model=shown_as(entry),
            base=base,
            exports=snippets.exports(base),
            lines=snippets.lines(entry.called, supported_endpoints(entry)),
        )


def _matching(entries: Iterable[ModelEntry], text: str) -> Iterable[ModelEntry]:
    wanted = text.lower()
    for entry in entries:
        if any(wanted in name.lower() for name in (*entry.names, entry.details.display_name, entry.owned_by)):
            yield entry


def _price(price: Price) -> str:
    return f"{words.price(price.input)} in, {words.price(price.output)} out {price.currency}"
