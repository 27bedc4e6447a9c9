"""A JSON Web Token before anything in it is believed: three parts, read strictly (RFC 7515, RFC 8725). Pure.

Only how it says to be read is looked at here. What it names itself as its key (``jwk``, ``jku``, ``x5u``, ``x5c``) is
never looked at, here or later: a key comes from the issuer alone.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, NoReturn

MAX_TOKEN: Final = 16_384
"""Characters. A token with Entra's most groups (200) has some 9,000."""
LATEST: Final = 1e12
"""Unix seconds; what is beyond is milliseconds, no number, or an integer that no float holds."""
_MAX_KID = 512
_DEPTH = 64
_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_PART = re.compile(r"[A-Za-z0-9_-]+")
_TYPES: Final = ("", "jwt", "at+jwt", "application/at+jwt")
"""What a token of a user may call itself. Others (logout+jwt, secevent+jwt, dpop+jwt, ...) are signed by the same keys
and mean something else (RFC 8725, 3.11)."""


class RefusedError(Exception):
    """The token is not accepted. The message says what would be, and holds nothing of the token itself."""


class Header(NamedTuple):
    """How a token says it is signed. ``kid``: None where it does not say by which key."""

    algorithm: str
    kid: str | None


def issuer_of(token: str) -> str | None:
    """Whose the token claims to be, unverified; None for what is no JWT of anybody."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = members(_decoded(parts[1]), "claims")
    except RefusedError:
        return _loosely(parts[1])
    found = claims.get("iss")
    return found if isinstance(found, str) else None


def end_of(token: str) -> float | None:
    """The unix second in the ``exp`` of a token that somebody has verified; None for what says none, or is no JWT."""
    parts = token.split(".")
    try:
        found = members(_decoded(parts[1]), "claims").get("exp") if len(parts) == 3 else None
    except RefusedError:
        return None
    return float(found) if isinstance(found, int | float) and 0 < found <= LATEST else None


def header_of(token: str) -> Header:
    """Raises RefusedError for a header that has anything odd."""
    header = members(_decoded(token.partition(".")[0]), "header")
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ", "")
    if not isinstance(algorithm, str):
        raise RefusedError("header: alg must be text")
    if kid is not None and not (isinstance(kid, str) and len(kid) <= _MAX_KID):
        raise RefusedError(f"header: kid must be text of at most {_MAX_KID} characters")
    if "crit" in header or "b64" in header:
        raise RefusedError("header: crit and b64 ask for extensions, and none is known here")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise RefusedError("header: typ must be JWT or at+jwt")
    return Header(algorithm, kid)


def members(text: bytes, what: str) -> Mapping[str, Any]:
    """The members of a JSON object. Raises RefusedError for another thing, for a name that is there twice, and for
    numbers that are none."""
    if _deep(text):
        raise RefusedError(f"{what}: must not be nested more than {_DEPTH} deep")
    try:
        found = json.loads(text.decode(), object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as fault:
        why = str(fault) if isinstance(fault, _OddError) else "must be a JSON object"
        raise RefusedError(f"{what}: {why}") from None
    if not isinstance(found, dict):
        raise RefusedError(f"{what}: must be a JSON object")
    return found


class _OddError(ValueError):
    """Valid to some parsers, and read differently by two of them."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _OddError("a member is there twice")
    return found


def _no_number(_text: str) -> NoReturn:
    raise _OddError("NaN and Infinity are no numbers")


def _loosely(part: str) -> str | None:
    """The issuer of claims that are odd otherwise, so that its own rules refuse them and say why."""
    try:
        text = _decoded(part)
        found = None if _deep(text) else json.loads(text)
    except (RefusedError, ValueError, RecursionError):
        return None
    claimed = found.get("iss") if isinstance(found, dict) else None
    return claimed if isinstance(claimed, str) else None


def _deep(text: bytes) -> bool:
    """Whether JSON is nested so deep that it depends on the interpreter whether it can be read."""
    if text.count(b"[") + text.count(b"{") <= _DEPTH:
        return False
    depth = 0
    for found in _BRACKET.finditer(text):
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(found[0], 0)
        if depth > _DEPTH:
            return True
    return False


def _decoded(part: str) -> bytes:
    if not _PART.fullmatch(part) or len(part) % 4 == 1:
        raise RefusedError("must be three parts in base64url, without padding")
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
