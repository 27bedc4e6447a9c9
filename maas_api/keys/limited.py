"""A key limited to certain models is for calling models: it must not open more than it was given.

The Go service lets an API key manage its owner's keys. With an allow-list that would undo the limit: such a key could
mint one without it, or rotate another and be shown the new secret.
"""

from __future__ import annotations

from flask import Blueprint, request

from maas_api.errors import plain
from maas_api.identity import headers

_READING = frozenset({"keys.get", "keys.config", "key-fleet.search"})


def reads_only(views: Blueprint) -> None:
    """Answer 403 to a limited key that would change keys. The gateway's header says that it is one, by being there."""

    @views.before_request
    def refuse() -> None:
        if headers.MODELS in request.headers and request.endpoint not in _READING:
            raise plain(
                403, "an API key limited to certain models must not mint, rotate or revoke keys", code="limited_key"
            )
