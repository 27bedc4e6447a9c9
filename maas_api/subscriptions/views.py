"""``POST /internal/v1/subscriptions/select``, ``GET /v1/subscriptions``, ``GET /v1/model/{model-id}/subscriptions``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flask

from maas_api import errors
from maas_api.identity import headers
from maas_api.identity.headers import Identity
from maas_api.subscriptions import listing, select
from maas_api.subscriptions.directory import Directory, State
from maas_api.wire import JSON, JSON_ONLY, Reply, Request


def select_route(directory: Directory) -> Callable[[Request], Reply]:
    """The gateway's callback as a fast route: answered from memory, so it does not need the framework."""

    def route(request: Request) -> Reply:
        return Reply(200, JSON_ONLY, errors.encode(select.answer(directory, request.body)))

    return route


def blueprint(directory: Directory) -> flask.Blueprint:
    """The listings. Bare JSON arrays, never cached by anyone; an anonymous caller has none."""
    views = flask.Blueprint("subscriptions", __name__)

    def reply(rows: Callable[[State, Identity], list[dict[str, Any]]]) -> flask.Response:
        lines = flask.request.headers
        who = headers.parse_optional(lines.getlist(headers.USERNAME), lines.getlist(headers.GROUP))
        if who is not None and not directory.known:
            raise errors.sdk(503, "Subscriptions are not known yet, try again", headers=listing.NO_STORE)
        state = directory.state
        found = rows(state, who) if who is not None and state is not None else []
        response = flask.Response(errors.encode(found), content_type=JSON[1].decode())
        response.headers["Cache-Control"] = "no-store"
        return response

    @views.get("/v1/subscriptions")
    def subscriptions() -> flask.Response:
        return reply(listing.for_caller)

    @views.get("/v1/model/<path:model>/subscriptions")
    def subscriptions_of_model(model: str) -> flask.Response:
        return reply(lambda state, who: listing.for_model(state, who, model))

    return views
