"""Who a verified token's claims stand for, and until when. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from maas_api.identity.headers import Identity
from maas_api.identity.oidc.compact import LATEST, RefusedError
from maas_api.identity.oidc.issuer import Issuer

SKEW_SECONDS: Final = 30.0
"""How far the issuer's clock and this one may be apart, for every moment in a token."""
AUTHENTICATED: Final = "system:authenticated"
"""The group of everybody who has signed in, as on a cluster; subscriptions for all are bound to it."""
_RESERVED: Final = "system:"
"""Begins names that only a cluster may give: whoever could claim ``system:masters`` would be an admin everywhere."""
_MAX_NAME: Final = 256
_MAX_GROUPS: Final = 500


class Known(NamedTuple):
    """A user, and the unix second after which the token is nobody's."""

    who: Identity
    until: float


def known(claims: Mapping[str, Any], issuer: Issuer, now: float) -> Known:
    """Raises RefusedError naming the claim and its rule."""
    if claims.get("iss") != issuer.url:
        raise RefusedError(f"iss: must be {issuer.url}")
    _audience(claims, issuer)
    until = _moments(claims, now)
    if "cnf" in claims:
        raise RefusedError(
            "cnf: the token is bound to a key of its holder (DPoP, mutual TLS), so it is no bearer token"
        )
    return Known(Identity(_username(claims, issuer), _groups(claims, issuer)), until)


def _audience(claims: Mapping[str, Any], issuer: Issuer) -> None:
    given = claims.get("aud")
    audiences = [given] if isinstance(given, str) else given
    if not isinstance(audiences, list) or not all(isinstance(item, str) for item in audiences):
        raise RefusedError("aud: must be text or a list of texts")
    if not set(audiences) & set(issuer.audiences):
        raise RefusedError(f"aud: must have one of {', '.join(issuer.audiences)}")
    if issuer.parties and party(claims) not in issuer.parties:
        raise RefusedError("azp: the token was made for an application that is not admitted here")


def party(claims: Mapping[str, Any]) -> str | None:
    """The application that asked for the token: ``azp`` (OpenID Connect), or where there is none ``client_id`` (RFC
    9068)."""
    found = claims.get("azp", claims.get("client_id"))
    return found if isinstance(found, str) else None


def _moments(claims: Mapping[str, Any], now: float) -> float:
    expires = _moment(claims, "exp")
    if expires is None:
        raise RefusedError("exp: is missing, and a token must end")
    if now >= expires + SKEW_SECONDS:
        raise RefusedError("exp: the token has expired; sign in again")
    for name in ("nbf", "iat"):
        begins = _moment(claims, name)
        if begins is not None and now < begins - SKEW_SECONDS:
            raise RefusedError(f"{name}: the token is not valid yet")
    return expires + SKEW_SECONDS


def _moment(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LATEST:
        raise RefusedError(f"{name}: must be a number of seconds")
    return float(value)


def _username(claims: Mapping[str, Any], issuer: Issuer) -> str:
    name = issuer.username_claim
    value = _claim(claims, name)
    if not isinstance(value, str) or not value.strip():
        raise RefusedError(f"{name}: must be the user's name, as text")
    if name == "email" and claims.get("email_verified") is not True:
        raise RefusedError("email: email_verified must be true, or anybody could write anybody's address there")
    return _name(issuer.username_prefix + value, name)


def _groups(claims: Mapping[str, Any], issuer: Issuer) -> tuple[str, ...]:
    name = issuer.groups_claim
    value = _claim(claims, name)
    elsewhere = claims.get("_claim_names")
    if value is None and isinstance(elsewhere, Mapping) and name in elsewhere:
        raise RefusedError(
            f"{name}: the user has too many groups for the token (_claim_names); have the issuer filter them"
        )
    listed = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        raise RefusedError(f"{name}: must be a list of texts")
    if len(listed) > _MAX_GROUPS:
        raise RefusedError(f"{name}: at most {_MAX_GROUPS} groups, got {len(listed)}")
    given = (issuer.groups_prefix + item for item in listed if item.strip())
    return (AUTHENTICATED, *dict.fromkeys(_name(item, name) for item in given if not item.startswith(_RESERVED)))


def _name(text: str, claim: str) -> str:
    if text != text.strip() or not text.isprintable() or len(text) > _MAX_NAME:
        raise RefusedError(f"{claim}: must be printable, at most {_MAX_NAME} characters, without space at the ends")
    if text.startswith(_RESERVED):
        raise RefusedError(f"{claim}: must not begin with {_RESERVED}, that is how a cluster names its own")
    return text


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """The claim of that name, or else the one the dots lead to (Keycloak's ``realm_access.roles``)."""
    if name in claims or "." not in name:
        return claims.get(name)
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found
