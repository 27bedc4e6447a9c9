"""An OpenID Connect issuer, as far as this flow needs one: discovery, keys, and tokens for a name and a password."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from maas_api.demo.simulators.server import Received, Whole

DISCOVERY, JWKS, TOKEN = "/.well-known/openid-configuration", "/keys", "/token"
SECONDS = 300
"""How long a token lives."""


class Person(NamedTuple):
    """Somebody who may sign in."""

    name: str
    password: str
    groups: tuple[str, ...]


class Issuer:
    """Signs with the newest of its keys (ES256). ``answer`` is for a Simulator, whose address is then ``url``."""

    def __init__(self, person: Person, audience: str, party: str) -> None:
        self.url = ""
        self.person, self.audience, self.party = person, audience, party
        self._keys: dict[str, ec.EllipticCurvePrivateKey] = {}
        self.rotate()

    def rotate(self) -> None:
        """Sign with a new key from now on, and publish that one alone."""
        self._keys = {secrets.token_hex(8): ec.generate_private_key(ec.SECP256R1())}

    def token(self, **claims: Any) -> str:
        """A token of the person's; ``claims`` count before the usual ones."""
        kid, key = next(iter(self._keys.items()))
        now = int(time.time())
        usual = {
            "iss": self.url,
            "aud": self.audience,
            "azp": self.party,
            "sub": "5f1a",
            "preferred_username": self.person.name,
            "groups": list(self.person.groups),
            "iat": now,
            "exp": now + SECONDS,
        }
        return jwt.encode({**usual, **claims}, key, algorithm="ES256", headers={"kid": kid})

    def answer(self, request: Received) -> Whole:
        """The answer to one request."""
        if request.method == "GET" and request.path == DISCOVERY:
            places = {"jwks_uri": self.url + JWKS, "token_endpoint": self.url + TOKEN}
            return Whole(200, {"issuer": self.url, **places, "id_token_signing_alg_values_supported": ["ES256"]})
        if request.method == "GET" and request.path == JWKS:
            return Whole(200, {"keys": [_public(kid, key) for kid, key in self._keys.items()]})
        if request.method == "POST" and request.path == TOKEN:
            return self._signed_in({name: values[0] for name, values in parse_qs(request.body.decode()).items()})
        return Whole(404, {"error": "not_found"})

    def _signed_in(self, form: Mapping[str, str]) -> Whole:
        """RFC 6749, 4.3: the grant that needs no browser."""
        if form.get("grant_type") != "password":
            return Whole(400, {"error": "unsupported_grant_type"})
        if form.get("client_id") != self.party:
            return Whole(401, {"error": "invalid_client"})
        if (form.get("username"), form.get("password")) != (self.person.name, self.person.password):
            return Whole(400, {"error": "invalid_grant"})
        return Whole(200, {"access_token": self.token(), "token_type": "Bearer", "expires_in": SECONDS})


def _public(kid: str, key: ec.EllipticCurvePrivateKey) -> Mapping[str, Any]:
    public = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {**public, "kid": kid, "use": "sig", "alg": "ES256"}
