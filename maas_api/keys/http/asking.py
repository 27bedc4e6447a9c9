"""Who asks an endpoint of keys, by what the gateway says in headers. Without a framework."""

from __future__ import annotations

from collections.abc import Callable

from maas_api.identity import headers
from maas_api.identity.headers import Identity
from maas_api.keys import format as key_format
from maas_api.keys.faults import limited_key
from maas_api.providers import CREDENTIAL_HEADERS

Said = Callable[[str], list[str]]
"""A header's values by its name."""


def caller(said: Said) -> Identity:
    """Who asks. Raises ApiError 401."""
    return headers.parse(said(headers.USERNAME), said(headers.GROUP))


def presented_key(said: Said) -> str | None:
    """The API key that the caller authenticated with; None for a platform token. Every gateway of ours passes the
    credential on to this service, and an API key counts there before anything else that was sent."""
    for name in CREDENTIAL_HEADERS:
        for value in said(name):
            scheme, _, token = value.strip().partition(" ")
            credential = (token.strip() if scheme.lower() == "bearer" else "") if name == "authorization" else value
            if credential.strip().startswith(key_format.PREFIX):
                return credential.strip()
    return None


def refuse_limited(said: Said, *, mints_with: str | None = None) -> None:
    """Raise ApiError 403 for a limited key that would change keys. The gateway's header says that it is one, by being
    there. One with an allow-list may mint with what the gateway passes on: the new key's list is then held to its own.
    """
    if said(headers.MODELS) and mints_with is None:
        raise limited_key("limited to certain models")
    if said(headers.BUDGET):
        raise limited_key("with a budget")
