"""A real OpenID Connect issuer over TLS on loopback, tokens of every kind for it, and the ways in which it fails."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

from maas_api.demo.certificates import Authority
from maas_api.demo.simulators.server import Binary, Reaction, Received, Simulator, Whole
from maas_api.identity.oidc.fetch import WELL_KNOWN

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

_CURVES = {"secp256r1": ("P-256", "ES256", hashes.SHA256()), "secp384r1": ("P-384", "ES384", hashes.SHA384())}


class In(NamedTuple):
    """A moment, so many seconds from when the token is made."""

    seconds: float


@cache
def rsa_key(name: str = "a", bits: int = 2048) -> rsa.RSAPrivateKey:
    """A key for the whole run: making one takes a while."""
    return rsa.generate_private_key(65537, bits)


def b64(raw: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def jwk(key: PrivateKey, kid: str | None, **more: Any) -> dict[str, Any]:
    """The public key as an issuer publishes it."""
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.public_key().public_numbers()
        found: dict[str, Any] = {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        point, size = key.public_key().public_numbers(), (key.curve.key_size + 7) // 8
        places = {name: b64(value.to_bytes(size, "big")) for name, value in (("x", point.x), ("y", point.y))}
        found = {"kty": "EC", "crv": _CURVES[key.curve.name][0], **places}
    else:
        found = {"kty": "OKP", "crv": "Ed25519", "x": b64(key.public_key().public_bytes_raw())}
    return {**found, **({} if kid is None else {"kid": kid}), **more}


def _number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def algorithm_of(key: PrivateKey) -> str:
    """The key's usual algorithm."""
    if isinstance(key, rsa.RSAPrivateKey):
        return "RS256"
    return _CURVES[key.curve.name][1] if isinstance(key, ec.EllipticCurvePrivateKey) else "EdDSA"


def signature(key: PrivateKey, what: bytes, algorithm: str = "") -> bytes:
    """Made without the library that the service verifies with."""
    if isinstance(key, rsa.RSAPrivateKey):
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
        return key.sign(what, pss if algorithm == "PS256" else padding.PKCS1v15(), hashes.SHA256())
    if isinstance(key, ec.EllipticCurvePrivateKey):
        r, s = utils.decode_dss_signature(key.sign(what, ec.ECDSA(_CURVES[key.curve.name][2])))
        size = (key.curve.key_size + 7) // 8
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    return key.sign(what)


def compact(
    header: Mapping[str, Any] | bytes, claims: Mapping[str, Any] | bytes, key: PrivateKey | bytes | None
) -> str:
    """A token with exactly this header and these claims. ``key``: bytes for HMAC, None for an empty signature."""
    raw = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, claims)]
    what = ".".join(map(b64, raw)).encode()
    if key is None:
        sealed = b""
    elif isinstance(key, bytes):
        sealed = hmac.digest(key, what, hashlib.sha256)
    else:
        sealed = signature(key, what, str(header.get("alg")) if isinstance(header, Mapping) else "")
    return f"{what.decode()}.{b64(sealed)}"


class TestIssuer:
    """Serves what its fields say. ``discovery`` and ``jwks`` take the place of the usual answers where they are set."""

    __test__ = False

    def __init__(self, authority: Authority) -> None:
        self.keys: dict[str, PrivateKey] = {"k1": rsa_key()}
        self.published: list[dict[str, Any]] = []
        """Further entries of the JWKS."""
        self.discovery: Reaction | None = None
        self.jwks: Reaction | None = None
        self._simulator = Simulator("issuer", self._answer, certificate=authority.server("127.0.0.1"))

    @property
    def url(self) -> str:
        """As its tokens say it."""
        return self._simulator.url

    def asked(self, path: str = "/keys") -> int:
        """How often a document was read."""
        return sum(request.path == path for request in self._simulator.received)

    def claims(self, **changed: Any) -> dict[str, Any]:
        """A good token's claims; ``...`` takes one away, ``In`` is a moment."""
        now = int(time.time())
        usual = {"iss": self.url, "aud": "maas", "azp": "cli", "sub": "alice", "groups": ["dev"], "iat": now}
        found = {**usual, "exp": now + 300, **changed}
        made = {name: now + value.seconds if isinstance(value, In) else value for name, value in found.items()}
        return {name: value for name, value in made.items() if value is not ...}

    def token(self, kid: str = "k1", header: Mapping[str, Any] | None = None, **changed: Any) -> str:
        """A good token, signed by one of its keys; ``header`` counts before the usual one."""
        key = self.keys[kid]
        usual = {"alg": algorithm_of(key), "typ": "JWT", "kid": kid, **(header or {})}
        return compact({name: value for name, value in usual.items() if value is not ...}, self.claims(**changed), key)

    def start(self) -> None:
        """Begin serving."""
        self._simulator.start()

    def stop(self) -> None:
        """Be down from now on. Safe twice."""
        self._simulator.stop()

    def _answer(self, request: Received) -> Reaction:
        if request.path == WELL_KNOWN:
            return self.discovery or Whole(200, {"issuer": self.url, "jwks_uri": f"{self.url}/keys"})
        if request.path == "/keys":
            keys = [jwk(key, kid, use="sig", alg=algorithm_of(key)) for kid, key in self.keys.items()]
            return self.jwks or Whole(200, {"keys": [*keys, *self.published]})
        return Binary("text/plain", b"nothing here")


@contextmanager
def issuers(folder: Path, number: int = 1) -> Iterator[tuple[Path, list[TestIssuer]]]:
    """So many issuers that serve, and the file with the CA of their certificates."""
    authority = Authority()
    found = [TestIssuer(authority) for _ in range(number)]
    for one in found:
        one.start()
    try:
        yield authority.write(folder / "issuer-ca.pem"), found
    finally:
        for one in found:
            one.stop()
