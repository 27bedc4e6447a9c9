"""Who may call ``/internal``: the platform's own components, never a client that came through a gateway.

The Go service leaves this to NetworkPolicy; its ``/maas-api`` route rewrites to ``/`` and so reaches the internal
endpoints too. Here a request that bears headers only a gateway sets is answered like an unknown path.

Usage is the exception: Envoy's access logger posts it itself, and adds ``x-forwarded-for`` like any HTTP client of
Envoy's. There a secret alone decides, the shared one or one for usage alone, and without any nobody gets in: whoever
can write usage can run another's budget down.
"""

from __future__ import annotations

import hmac

from maas_api.wire import JSON_ONLY, RawHeaders, Reply

PREFIX = "/internal/"
SECRET_ONLY = ("/internal/v1/usage",)
"""Paths that callers reach through an HTTP client of the gateway's own, and by the secret only."""
_GATEWAY_ONLY = (b"x-envoy-original-path", b"x-forwarded-for")
_SECRET_HEADER = b"x-maas-internal-secret"
NOT_FOUND = Reply(404, JSON_ONLY, b'{"error":"404 page not found"}')
# No body: Authorino ignores the status and caches whatever parses, so a wrong secret must not parse.
_REFUSED = Reply(401, JSON_ONLY, b"")


class InternalGuard:
    """Decides on every request under ``/internal/``. Without ``secrets`` none is asked for."""

    def __init__(self, *secrets: bytes) -> None:
        self._secrets = secrets
        self._for_usage: tuple[bytes, ...] = ()

    def accept(self, secrets: tuple[bytes, ...]) -> None:
        """Ask for one of these from now on. Replaced as a whole, so readers need no lock."""
        self._secrets = secrets

    def accept_for_usage(self, secrets: tuple[bytes, ...]) -> None:
        """Take one of these, too, from whoever posts usage."""
        self._for_usage = secrets

    def refuse(self, path: str, headers: RawHeaders) -> Reply | None:
        """The answer that refuses the request, or None where it may pass."""
        by_secret = path in SECRET_ONLY
        accepted = (*self._secrets, *self._for_usage) if by_secret else self._secrets
        if by_secret and not accepted:
            return NOT_FOUND
        presented = b""
        for name, value in headers:
            if name in _GATEWAY_ONLY and not by_secret:
                return NOT_FOUND
            if name == _SECRET_HEADER:
                presented = value
        if accepted and not any(hmac.compare_digest(presented, secret) for secret in accepted):
            return _REFUSED
        return None
