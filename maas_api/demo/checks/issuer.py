"""Users of an OpenID Connect issuer: one signs in there, mints with the token and calls; other tokens are refused."""

from __future__ import annotations

import ssl
import time
from typing import Any
from urllib.parse import urlencode

import urllib3

from maas_api.demo.checks.session import LOCAL, CheckError, Session, require
from maas_api.demo.simulators.issuer import TOKEN, Issuer


def signs_in(session: Session) -> str:
    """A name and a password at the issuer, its token at the gateway: a key, and a call with it."""
    client, token = session.stack.client, _signed_in(session)
    minted = client.call("POST", "/maas-api/v1/api-keys", credential=token, body={"name": "bob's", "expiresIn": "1d"})
    require(minted.status == 201, f"minting with the issuer's token: {minted.brief()}")
    key = minted.json()["key"]
    session.keys.append(key)
    record = client.call("GET", f"/maas-api/v1/api-keys/{minted.json()['id']}", credential=token).json()
    require(record.get("username") == "oidc:bob", f"the key is {record.get('username')}'s, not oidc:bob's")
    called = client.call("POST", LOCAL.path, credential=key, body=LOCAL.body)
    require(called.status == 200, f"calling with the key: {called.brief()}")
    return "bob signed in, minted a key as oidc:bob and called a model with it"


def made_for_others(session: Session) -> str:
    """Tokens that the issuer signed, and that are not for here or no more."""
    issuer = _issuer(session)
    wrong: dict[str, dict[str, Any]] = {
        "another audience": {"aud": "shop"},
        "another application": {"azp": "shop"},
        "expired": {"exp": 1},
    }
    for why, claims in wrong.items():
        answer = session.stack.client.call("GET", "/v1/models", credential=issuer.token(**claims))
        require(answer.status == 401, f"{why}: expected 401, got {answer.brief()}")
    return f"401 to tokens for {', '.join(wrong)}"


def rotated(session: Session) -> str:
    """The issuer signs with another key than it had when the service started."""
    issuer = _issuer(session)
    old = issuer.token()
    issuer.rotate()
    begun = time.monotonic()
    _until_accepted(session, issuer.token())
    took = time.monotonic() - begun
    answer = session.stack.client.call("GET", "/v1/models", credential=issuer.token(azp="shop"))
    require(answer.status == 401, f"another application: expected 401, got {answer.brief()}")
    return f"a token by the new key was accepted after {took:.1f} s, the old key's " + (
        "is refused"
        if session.stack.client.call("GET", "/v1/models", credential=old).status == 401
        else "still by a worker"
    )


def _until_accepted(session: Session, token: str) -> None:
    """A worker asks the issuer about unknown keys once in ten seconds at the most."""
    ends = time.monotonic() + 20
    while True:
        answer = session.stack.client.call("GET", "/v1/models", credential=token)
        if answer.status == 200:
            return
        require(time.monotonic() < ends, f"after 20 s: {answer.brief()}")
        time.sleep(0.1)


def _signed_in(session: Session) -> str:
    """The token that the issuer gives for the user's name and password."""
    issuer = _issuer(session)
    trusted = ssl.create_default_context(cafile=str(session.stack.folder / "ca.pem"))
    form = {
        "grant_type": "password",
        "client_id": issuer.party,
        "username": issuer.person.name,
        "password": issuer.person.password,
    }
    with urllib3.PoolManager(ssl_context=trusted, retries=False) as pool:
        answer = pool.request("POST", issuer.url + TOKEN, body=urlencode(form))
    if answer.status != 200:
        raise CheckError(f"signing in at the issuer: {answer.status}")
    token: str = answer.json()["access_token"]
    return token


def _issuer(session: Session) -> Issuer:
    if session.stack.issuer is None:
        raise CheckError("there is no issuer")
    return session.stack.issuer
