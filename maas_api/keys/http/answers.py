"""What every key endpoint's answers in Flask have in common: their encoding, that nobody keeps them, who gets none."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from maas_api.errors import encode
from maas_api.identity.headers import Identity
from maas_api.keys.http import asking

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
    """Answer 403 to a limited key that would change keys."""

    @views.before_request
    def refuse() -> None:
        if request.endpoint not in _READING:
            asking.refuse_limited(_said)


def caller() -> Identity:
    """Who asks. Raises ApiError 401."""
    return asking.caller(_said)


def presented_key() -> str | None:
    """See :func:`maas_api.keys.http.asking.presented_key`."""
    return asking.presented_key(_said)


def _said(name: str) -> list[str]:
    """A header's values. WSGI has one of each; to look for several walks through all headers."""
    value = request.headers.get(name)
    return [] if value is None else [value]
