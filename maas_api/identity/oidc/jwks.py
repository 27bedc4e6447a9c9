"""An issuer's public keys (RFC 7517), and whether one of them signed a token.

Three algorithms, and the key says which: RS256, which OpenID Connect makes every issuer speak, ES256 and EdDSA
(Ed25519), which modern ones choose. A token's header only has to agree. The others stay out: ``none`` and HS256 verify
with what an attacker has (nothing, or the public key taken for a shared secret), PS256 and the longer curves are no
issuer's default, and each algorithm is one more parser that strangers reach.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import jwt

from maas_api.identity.oidc.compact import RefusedError, members

MAX_KEYS: Final = 100
_MIN_RSA_BITS: Final = 2048  # NIST SP 800-131A; RFC 7518, 3.3
_ALGORITHMS: Final = {("RSA", None): "RS256", ("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA"}
"""(kty, crv) -> the one algorithm that a key of this kind verifies here."""
_JWS = jwt.PyJWS()


class Key(NamedTuple):
    """A public key and its algorithm."""

    algorithm: str
    jwk: jwt.PyJWK


class KeySet(NamedTuple):
    """Keys by ``kid``; ``only`` is the key for tokens that name none, None where there are several. ``skipped``: why
    others of the document are not used, a line each."""

    keys: Mapping[str, Key]
    only: Key | None
    skipped: tuple[str, ...]

    def of(self, kid: str | None) -> Key | None:
        """The key, or None."""
        return self.only if kid is None else self.keys.get(kid)


def key_set(document: bytes) -> KeySet:
    """Raises ValueError for what is no JWK Set, or one without a key that can be used. A key that cannot be is
    skipped: issuers publish keys for encryption, and for other algorithms, beside."""
    try:
        listed = members(document, "JWKS").get("keys")
    except RefusedError as fault:
        raise ValueError(str(fault)) from None
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise ValueError(f"JWKS: keys must be a list of at most {MAX_KEYS}")
    found: list[tuple[str | None, Key]] = []
    skipped = []
    for number, item in enumerate(listed, 1):
        try:
            found.append(_key(item))
        except ValueError as fault:
            skipped.append(f"key {number}: {fault}")
    named = [kid for kid, _ in found if kid is not None]
    for kid in sorted({kid for kid in named if named.count(kid) > 1}):
        skipped.append(f"kid {kid[:80]!r} is there twice: neither key is used")
        found = [pair for pair in found if pair[0] != kid]
    if not found:
        raise ValueError("JWKS: no key can be used" + "".join(f"; {why}" for why in skipped[:3]))
    only = found[0][1] if len(found) == 1 else None
    return KeySet({kid: key for kid, key in found if kid is not None}, only, tuple(skipped))


def _key(item: Any) -> tuple[str | None, Key]:
    """Raises ValueError for a key that is not for this."""
    if not isinstance(item, dict):
        raise ValueError("must be an object")  # noqa: TRY004 -- one kind of fault for whoever reads the document
    kid, kind = item.get("kid"), item.get("kty")
    curve = item.get("crv") if kind in ("EC", "OKP") else None
    algorithm = _ALGORITHMS.get((kind, curve)) if isinstance(curve, str | None) and isinstance(kind, str) else None
    if algorithm is None:
        raise ValueError("neither RSA nor P-256 nor Ed25519")
    if item.get("alg", algorithm) != algorithm:
        raise ValueError(f"is for another algorithm than {algorithm}")
    operations = item.get("key_ops", ["verify"])
    if item.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        raise ValueError("is not for signatures")
    if "d" in item:
        raise ValueError("is private, and published: whoever reads it can sign")
    if kid is not None and not isinstance(kid, str):
        raise ValueError("kid must be text")
    try:
        jwk = jwt.PyJWK(item, algorithm)
    except Exception as fault:  # the library's own errors, and of those below it; all say that this is no key
        raise ValueError(f"cannot be read: {type(fault).__name__}") from None
    if kind == "RSA" and jwk.key.key_size < _MIN_RSA_BITS:
        raise ValueError(f"RSA of {jwk.key.key_size} bits, at least {_MIN_RSA_BITS} are needed")
    return kid, Key(algorithm, jwk)


def verified(token: str, key: Key, header_algorithm: str) -> Mapping[str, Any]:
    """The claims of a token that this key signed. Raises RefusedError."""
    if header_algorithm != key.algorithm:
        raise RefusedError(f"header: alg must be {key.algorithm}, which is that of the issuer's key")
    try:
        payload = _JWS.decode_complete(token, key.jwk, algorithms=[key.algorithm])["payload"]
    except jwt.InvalidTokenError:
        raise RefusedError("signature: is not that of the issuer's key") from None
    return members(payload, "claims")
