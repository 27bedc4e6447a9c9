"""Cross-origin requests from a developer's own machine, in debug mode only.

Pages served from localhost may call the API, with the headers it reads; no other origin, and no cookies.
"""

from __future__ import annotations

import re

from maas_api.wire import RawHeaders, Reply

_LOCAL = re.compile(rb"https?://(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?")
_PREFLIGHT = (
    (b"access-control-allow-methods", b"GET, POST, DELETE, OPTIONS"),
    (b"access-control-allow-headers", b"Authorization, Content-Type, X-Request-ID, X-MaaS-Subscription"),
    (b"access-control-max-age", b"600"),
)
_EXPOSED = (b"access-control-expose-headers", b"X-Request-ID, Retry-After, ETag")


def allow(method: str, headers: RawHeaders, reply: Reply) -> Reply:
    """The reply, opened to the caller's page where that came from this machine."""
    origin = next((value for name, value in headers if name == b"origin"), b"")
    vary = (b"vary", b"Origin")
    if not _LOCAL.fullmatch(origin):
        return reply._replace(headers=(*reply.headers, vary))
    allowed = (b"access-control-allow-origin", origin)
    more = _PREFLIGHT if method == "OPTIONS" else (_EXPOSED,)
    return reply._replace(headers=(*reply.headers, vary, allowed, *more))
