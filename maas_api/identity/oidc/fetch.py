"""Reading an issuer's documents over HTTPS: what it is (discovery), and its keys. Everything about it is bounded."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

import requests

from maas_api.identity.oidc.compact import RefusedError, members
from maas_api.identity.oidc.issuer import Issuer
from maas_api.identity.oidc.jwks import KeySet, key_set

WELL_KNOWN: Final = "/.well-known/openid-configuration"
CONNECT_SECONDS, READ_SECONDS, WHOLE_SECONDS = 3.0, 3.0, 8.0
"""To connect; between two pieces of an answer; for one document."""
MAX_DISCOVERY, MAX_JWKS = 65_536, 524_288
"""Bytes. Entra's documents have some 2 and 20 thousand."""
DISCOVERY_SECONDS: Final = 3600.0
"""How long it is believed where an issuer has its keys, as long as they are there."""
_PIECE = 16_384


class FetchError(Exception):
    """The keys could not be had. The message says of which document, and why."""


class Fetch:
    """An issuer's keys as they are now. For one thread."""

    def __init__(self, issuer: Issuer, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._issuer = issuer
        self._clock = clock
        self._keys_at: tuple[str, float] | None = None

    def __call__(self) -> KeySet:
        """Raises FetchError."""
        known = self._keys_at
        if known is None or self._clock() - known[1] > DISCOVERY_SECONDS:
            known = self._keys_at = (self._discovered(), self._clock())
        try:
            return key_set(self._get(known[0], MAX_JWKS, "JWKS"))
        except ValueError as fault:
            self._keys_at = None  # it may have moved; the next attempt asks where it is
            raise FetchError(str(fault)) from None
        except FetchError:
            self._keys_at = None
            raise

    def _discovered(self) -> str:
        """The address of the keys (OpenID Connect Discovery 1.0, 4)."""
        url = self._issuer.url.removesuffix("/") + WELL_KNOWN
        try:
            found = members(self._get(url, MAX_DISCOVERY, "discovery"), "discovery")
        except RefusedError as fault:
            raise FetchError(str(fault)) from None
        if found.get("issuer") != self._issuer.url:
            raise FetchError(f"discovery: issuer must be {self._issuer.url!r}, got {str(found.get('issuer'))[:200]!r}")
        keys = found.get("jwks_uri")
        if not isinstance(keys, str) or not _https(keys):
            raise FetchError(f"discovery: jwks_uri must be an https:// URL, got {str(keys)[:200]!r}")
        return keys

    def _get(self, url: str, most: int, what: str) -> bytes:
        ends = self._clock() + WHOLE_SECONDS
        try:
            with requests.Session() as session:
                session.auth = _without_credentials
                session.headers.update({"Accept": "application/json", "Accept-Encoding": "identity"})
                answer = session.get(
                    url,
                    verify=True if self._issuer.ca is None else str(self._issuer.ca),
                    timeout=(CONNECT_SECONDS, READ_SECONDS),
                    allow_redirects=False,
                    stream=True,
                )
                if answer.status_code != requests.codes.ok:
                    raise FetchError(f"{what}: {url} answers {answer.status_code}, not 200")
                return self._read(answer, most, what, ends)
        except (requests.RequestException, OSError) as fault:
            raise FetchError(f"{what}: {url} cannot be reached: {_why(fault)}") from None

    def _read(self, answer: requests.Response, most: int, what: str, ends: float) -> bytes:
        found = b""
        # Piece by piece as they come: a server that sends a byte every other second may not hold this thread for long.
        while piece := answer.raw.read1(_PIECE):
            found += piece
            if len(found) > most:
                raise FetchError(f"{what}: must be of at most {most} bytes")
            if self._clock() > ends:
                raise FetchError(f"{what}: takes longer than {WHOLE_SECONDS:g} s")
        return found


def _https(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.hostname)


def _without_credentials(request: Any) -> Any:
    """Proxies of the environment are used; what ``~/.netrc`` has for the host is not sent."""
    return request


def _why(fault: BaseException) -> str:
    """The innermost reason, such as a refused connection or an untrusted certificate, in its own words."""
    while (inner := fault.__cause__ or fault.__context__) is not None:
        fault = inner
    return f"{type(fault).__name__}: {str(fault)[:200]}"
