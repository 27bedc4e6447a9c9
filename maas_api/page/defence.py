"""What keeps other sites out of the page: the headers of every answer, and the rule about where a form may come from.
Pure.

Sources: CSP level 3; Fetch Metadata (``Sec-Fetch-Site``); OWASP's cheat sheet on cross-site request forgery.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "style-src 'self'",
        "script-src 'self'",
        "img-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
"""No inline script or style, no evaluation, nothing from elsewhere, and no way from a text to the page's structure."""

REFERENCE_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "style-src 'self'",
        "script-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
"""For ``/docs``: its viewer has icons in its style sheet, and asks this origin alone. It builds the page from texts, so
no trusted types; what it shows is our own description."""

HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer a form's Origin would be null, and could not be compared
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}

_LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "::1")


def from_elsewhere(headers: Mapping[str, str]) -> str:
    """Why a form does not come from this page; "" where it does.

    A browser says so in ``Sec-Fetch-Site``, an old one by ``Origin`` alone. What says neither is no browser with a form
    of ours in it. Another port of this machine is the same site, but not the same origin.
    """
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return "" if site == "same-origin" else f"Sec-Fetch-Site must be same-origin, got {site[:40]!r}"
    origin = headers.get("Origin")
    if origin is None:
        return "neither Sec-Fetch-Site nor Origin says where the form comes from"
    if urlsplit(origin).netloc.lower() == headers.get("Host", "").lower() != "":
        return ""
    return f"Origin must be this page's own, got {origin[:80]!r}"


def local_name(host: str) -> bool:
    """Whether a Host header names this machine. A name of somebody else's that leads here does not."""
    try:
        return urlsplit(f"//{host}").hostname in _LOCAL_NAMES
    except ValueError:
        return False
