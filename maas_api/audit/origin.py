"""Where a change comes from: the kind of credential it is asked with. Kept beside the request, as its id is."""

from __future__ import annotations

import contextvars
from typing import Final, NamedTuple

from maas_api.wire import FastRoute, Pending, Reply, Request

KEY: Final = "key"
TOKEN: Final = "platform token"  # noqa: S105 -- a kind of credential
GATEWAY: Final = "gateway"
PAGE: Final = "page"
INTERNAL: Final = "internal"
COMMAND: Final = "command line"
KINDS: Final = (KEY, TOKEN, GATEWAY, PAGE, INTERNAL, COMMAND)
"""``gateway``: its headers name the caller and no credential came along. ``internal``: a component of the platform."""


class Origin(NamedTuple):
    """``key``: the API key as presented; it is looked up by its hash and kept nowhere. ``actor``: who acts, where that
    is not whom the change is made for."""

    via: str = ""
    key: str = ""
    actor: str = ""


NOWHERE: Final = Origin()
ORIGIN: contextvars.ContextVar[Origin] = contextvars.ContextVar("maas_api_origin", default=NOWHERE)
"""Set around a request's work."""


def of_request(authorization: str, path: str) -> Origin:
    """The origin of a request with this Authorization header (the gateway puts every credential there)."""
    scheme, _, credential = authorization.strip().partition(" ")
    if path.startswith("/internal/"):
        return Origin(INTERNAL)
    if scheme.lower() == "bearer" and credential.strip().startswith("sk-oai-"):
        return Origin(KEY, credential.strip())
    if path.startswith("/ui/"):
        return Origin(PAGE)
    return Origin(TOKEN if credential else GATEWAY)


def noted(route: FastRoute) -> FastRoute:
    """A route that changes something without the framework, and notes where a request comes from before."""

    def with_origin(request: Request) -> Reply | Pending:
        ORIGIN.set(of_request(request.joined().get(b"authorization", ""), request.path))
        return route(request)

    return with_origin
