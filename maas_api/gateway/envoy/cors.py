"""CORS: pages of which origins may call the gateway from a browser. A key travels in a header, never in a cookie."""

from __future__ import annotations

import re
from collections.abc import Sequence

from maas_api.gateway.envoy.xds import Json, extension, typed

CORS = "envoy.filters.http.cors"
_MESSAGES = "envoy.extensions.filters.http.cors.v3."

ANY = "*"
_ORIGIN = re.compile(r"https?://([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])(:[1-9][0-9]{0,4})?")


def is_origin(text: str) -> bool:
    """Whether a browser could send that as ``Origin`` (RFC 6454: scheme, host, port; lower case), or it is ``*``."""
    return text == ANY or _ORIGIN.fullmatch(text) is not None


def cors_filter() -> Json:
    """Answers preflights of the origins that the routes allow, before anyone asks for a credential."""
    return extension(CORS, f"{_MESSAGES}Cors")


def cors_policy(origins: Sequence[str]) -> Json:
    """What the routes allow; nothing is configured without origins. ``*`` in a browser's list of headers leaves
    Authorization out (Fetch standard, 4.9), so that one is named."""
    if not origins:
        return {}
    exactly = [{"safe_regex": {"regex": ".*"}} if origin == ANY else {"exact": origin} for origin in origins]
    policy = typed(
        f"{_MESSAGES}CorsPolicy",
        allow_origin_string_match=exactly,
        allow_methods="GET, HEAD, POST, DELETE",
        allow_headers="*, authorization",
        expose_headers="*",
        max_age="600",
    )
    return {CORS: policy}
