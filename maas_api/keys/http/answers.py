"""What every key endpoint's answers have in common: their encoding, that nobody keeps them, who gets none."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from maas_api.errors import encode
from maas_api.identity import headers
from maas_api.identity.headers import Identity
from maas_api.keys import format as key_format
from maas_api.keys.faults import limited_key
from maas_api.providers import CREDENTIAL_HEADERS

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

    One with an allow-list may mint where the gateway passes it on: the new key's list is then held to its own.
    """

    @views.before_request
    def refuse() -> None:
        if request.endpoint in _READING:
            return
        for header, limited in ((headers.MODELS, "limited to certain models"), (headers.BUDGET, "with a budget")):
            if header == headers.MODELS and request.endpoint == "keys.mint" and presented_key() is not None:
                continue
            if header in request.headers:
                raise limited_key(limited)


def caller() -> Identity:
    """Who asks. Raises ApiError 401."""
    return headers.parse(_said(headers.USERNAME), _said(headers.GROUP))


def _said(name: str) -> list[str]:
    """A header's values. WSGI has one of each; to look for several walks through all headers."""
    value = request.headers.get(name)
    return [] if value is None else [value]


def presented_key() -> str | None:
    """The API key that the caller authenticated with; None for a platform token. Every gateway of ours passes the
    credential on to this service, and an API key counts there before anything else that was sent."""
    for name in CREDENTIAL_HEADERS:
        for value in _said(name):
            scheme, _, token = value.strip().partition(" ")
            credential = (token.strip() if scheme.lower() == "bearer" else "") if name == "authorization" else value
            if credential.strip().startswith(key_format.PREFIX):
                return credential.strip()
    return None
