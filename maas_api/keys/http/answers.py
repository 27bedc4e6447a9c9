"""What every key endpoint's answers have in common: their encoding, that nobody keeps them, who gets none."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from maas_api.errors import encode, plain
from maas_api.identity import headers

_READING = frozenset({"keys.get", "keys.config", "key-fleet.search"})


def json_answer(content: Any, status: int = 200) -> Response:
    """A JSON answer with the Go service's content type."""
    return Response(encode(content), status, content_type="application/json; charset=utf-8")


def never_kept(views: Blueprint) -> None:
    """Have every answer of these views, errors too, say that it must not be stored."""

    @views.after_request
    def no_store(response: Response) -> Response:
        response.headers["Cache-Control"] = "no-store"
        return response


def reads_only(views: Blueprint) -> None:
    """Answer 403 to a limited key that would change keys. The gateway's header says that it is one, by being there.

    The Go service lets an API key manage its owner's keys. With an allow-list that would undo the limit: such a key
    could mint one without it, or rotate another and be shown the new secret.
    """

    @views.before_request
    def refuse() -> None:
        if request.endpoint in _READING:
            return
        for header, limited in ((headers.MODELS, "limited to certain models"), (headers.BUDGET, "with a budget")):
            if header in request.headers:
                raise plain(403, f"an API key {limited} must not mint, rotate or revoke keys", code="limited_key")
