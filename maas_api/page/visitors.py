"""Who looks at the page: whom the gateway names, or whose session a cookie is of. Never both."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol

from flask import Request

from maas_api.access.caller import Caller
from maas_api.errors import plain
from maas_api.gateway.signin import directly_called
from maas_api.identity import headers
from maas_api.identity.admin import AdminCheck, AdminCheckError
from maas_api.identity.headers import Identity
from maas_api.page import defence
from maas_api.page.sessions import Session, Sessions

_log = logging.getLogger(__name__)

_FORM: Final = "form"
_KEY_PREFIX: Final = "sk-oai-"
_KEY_HEADERS: Final = (headers.MODELS, headers.BUDGET)
COOKIE: Final = "maas_session"
SECURE_COOKIE: Final = "__Host-maas_session"
"""Over TLS a browser takes this name only with Secure, without a domain and for the whole host."""


class Visitor(NamedTuple):
    """Somebody who is signed in. ``stamp`` is what a form's token is made of. ``session``: None behind a gateway."""

    who: Identity
    subscription: str
    stamp: str
    session: Session | None = None

    @property
    def caller(self) -> Caller:
        """The visitor as the rule about models takes one."""
        return Caller(self.who, None, self.subscription, False)


class Door(Protocol):
    """Says who looks, and whether a form is theirs."""

    local: bool

    def visitor(self, request: Request) -> Visitor | None:
        """None where somebody must sign in first. Raises ApiError for whom the page is not for."""

    def form_token(self, visitor: Visitor) -> str:
        """What this visitor's forms carry."""

    def is_theirs(self, visitor: Visitor, token: str) -> bool:
        """Whether a form's token is this visitor's."""


class GatewayDoor:
    """Believes the gateway's headers, as the API does. A form's token holds from one day to the next."""

    local = False

    def __init__(self, sessions: Sessions, now: Callable[[], datetime]) -> None:
        self._sessions = sessions
        self._now = now

    def visitor(self, request: Request) -> Visitor | None:
        """Raises ApiError 401 without an identity, 403 for a program with an API key."""
        who = headers.parse(request.headers.getlist(headers.USERNAME), request.headers.getlist(headers.GROUP))
        presented = request.headers.get("Authorization", "").partition(" ")[2]
        if presented.strip().startswith(_KEY_PREFIX) or any(name in request.headers for name in _KEY_HEADERS):
            raise plain(403, "This page is for people: sign in as yourself, not with an API key")
        subscription = headers.last_subscription(request.headers.getlist(headers.SUBSCRIPTION))
        return Visitor(who, subscription, who.username)

    def form_token(self, visitor: Visitor) -> str:
        """See :class:`Door`."""
        return self._sessions.signer.tag(_FORM, self._stamped(visitor, 0))

    def is_theirs(self, visitor: Visitor, token: str) -> bool:
        """See :class:`Door`."""
        signer = self._sessions.signer
        return any(signer.is_tag(_FORM, self._stamped(visitor, days), token) for days in (0, 1))

    def _stamped(self, visitor: Visitor, days_ago: int) -> str:
        return f"{(self._now() - timedelta(days=days_ago)).date()}\0{visitor.stamp}"


class LocalDoor:
    """Signs in by itself, on this machine alone: believes a session's cookie, and no header."""

    local = True

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def visitor(self, request: Request) -> Visitor | None:
        """Raises ApiError 403 for a request that a gateway or proxy passed on, or from elsewhere."""
        names = [(name.lower().encode("latin-1", "replace"), b"") for name, _ in request.headers]
        if not directly_called(names, request.remote_addr or "") or not defence.local_name(request.host):
            raise plain(
                403,
                "This page signs people in by itself: it is for this machine alone, and answers nothing that a gateway "
                "or a proxy passed on",
            )
        cookie = request.cookies.get(cookie_name(request))
        session = None if cookie is None else self._sessions.find(cookie)
        return None if session is None else Visitor(session.who, "", session.id, session)

    def form_token(self, visitor: Visitor) -> str:
        """See :class:`Door`."""
        return self._sessions.signer.tag(_FORM, visitor.stamp)

    def is_theirs(self, visitor: Visitor, token: str) -> bool:
        """See :class:`Door`."""
        return self._sessions.signer.is_tag(_FORM, visitor.stamp, token)


def cookie_name(request: Request) -> str:
    """The session's cookie: the strictest name that the connection allows."""
    return SECURE_COOKIE if request.is_secure else COOKIE


def is_admin(admins: AdminCheck, who: Identity) -> bool:
    """Whether the page shows an admin's part; no where the check fails. Each service asks for itself again."""
    try:
        return admins.is_admin(who)
    except AdminCheckError:
        _log.warning("admin check failed, the page shows no admin's part", exc_info=True)
        return False
