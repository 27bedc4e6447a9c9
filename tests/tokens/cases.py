"""The table: how each token is made, and the answer. Each case has a world of its own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from maas_api.demo.simulators.server import Whole
from tests.support.issuer import In, b64, compact, jwk, rsa_key
from tests.tokens.world import NOWHERE, World

Make = Callable[[World], str]
ALICE = ("a:alice", ("system:authenticated", "dev"))
ALONE = ("a:alice", ("system:authenticated",))
UNCHECKED = "The credential could not be checked now; try again"
UNKNOWN = "neither an API key (sk-oai-...) nor a known platform token"
SIGNATURE = "signature: is not that of the issuer's key"
NO_KEY = "header: the issuer has no key of this kid"


class Case(NamedTuple):
    """One row. ``expected``: who passes, or what is told (a part of it) to whoever does not."""

    name: str
    make: Make
    expected: tuple[str, tuple[str, ...]] | str

    @property
    def status(self) -> int:
        """The answer's."""
        if isinstance(self.expected, tuple):
            return 200
        return 503 if self.expected == UNCHECKED else 401


def token(**changed: Any) -> Make:
    """Of issuer a, by its first key."""
    return lambda world: world.a.token(**changed)


def header(**changed: Any) -> Make:
    """The same with another header."""
    return lambda world: world.a.token(header=changed)


def raw(header: bytes | None = None, claims: bytes | None = None) -> Make:
    """Signed by the issuer's key over exactly these bytes; ``ISS`` and ``EXP`` in them are filled in."""

    def make(world: World) -> str:
        filled = (claims or json.dumps(world.a.claims()).encode()).replace(b"ISS", world.a.url.encode())
        filled = filled.replace(b"EXP", b"%d" % (time.time() + 300))
        return compact(header or b'{"alg":"RS256","kid":"k1"}', filled, world.a.keys["k1"])

    return make


def _alg_none(world: World) -> str:
    return compact({"alg": "none", "kid": "k1"}, world.a.claims(), None)


def _hs256(world: World) -> str:
    public = world.a.keys["k1"].public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return compact({"alg": "HS256", "typ": "JWT", "kid": "k1"}, world.a.claims(), pem)


def _hs256_published(world: World) -> str:
    world.a.published.append({"kty": "oct", "kid": "shared", "k": b64(b"k" * 32)})
    return compact({"alg": "HS256", "kid": "shared"}, world.a.claims(), b"k" * 32)


def _stranger(**more: Any) -> Make:
    """By a key that is not the issuer's, under the name of one that is."""
    return lambda world: compact({"alg": "RS256", "kid": "k1", **more}, world.a.claims(), rsa_key("stranger"))


def _published(kid: str, **more: Any) -> Make:
    """By a key that the issuer publishes with something odd about it."""

    def make(world: World) -> str:
        world.a.published.append(jwk(rsa_key("b"), kid, **more))
        return compact({"alg": "RS256", "kid": kid}, world.a.claims(), rsa_key("b"))

    return make


def _twins(world: World) -> str:
    world.a.published += [jwk(rsa_key("b"), "twin"), jwk(rsa_key("stranger"), "twin")]
    return compact({"alg": "RS256", "kid": "twin"}, world.a.claims(), rsa_key("b"))


def _by(key: Any, algorithm: str, **more: Any) -> Make:
    def make(world: World) -> str:
        world.waits(11)  # since the issuer was read
        world.a.published.append(jwk(key, "other", **more))
        return compact({"alg": algorithm, "kid": "other"}, world.a.claims(exp=In(900)), key)

    return make


def _later(make: Make) -> Make:
    """When the issuer may be asked again."""

    def waits(world: World) -> str:
        world.waits(11)
        return make(world)

    return waits


def _rotated(world: World) -> str:
    assert world.ask(world.a.token()).status == 200
    world.waits(11)
    world.a.keys = {"k2": rsa_key("b")}
    return world.a.token("k2")


def _withdrawn(world: World) -> str:
    old = world.a.token()
    assert world.ask(_rotated(world)).status == 200
    return old


def _down(world: World) -> str:
    world.a.stop()
    return world.a.token()


def _down_and_rotated(world: World) -> str:
    world.a.keys["k2"] = rsa_key("b")
    world.a.stop()
    world.waits(11)
    return world.a.token("k2")


def _down_for_long(world: World) -> str:
    world.a.stop()
    world.waits(25 * 3600)
    return world.a.token(exp=In(26 * 3600))


def _broken_keys(world: World) -> str:
    world.a.jwks = Whole(200, {"keys": "none"})
    world.waits(11)
    return world.a.token("k1", header={"kid": "k9"})


def _of_b(**changed: Any) -> Make:
    usual = {"email": "bob@example.com", "email_verified": True, "realm_access": {"roles": ["ops"]}, "azp": ...}
    return lambda world: world.b.token(**{**usual, **changed})


def _a_by_the_key_of_b(world: World) -> str:
    world.b.keys = {"kb": rsa_key("b")}
    return compact({"alg": "RS256", "kid": "kb"}, world.a.claims(), rsa_key("b"))


def _without_kid(world: World) -> str:
    return world.a.token(header={"kid": ...})


def _without_kid_of_two(world: World) -> str:
    world.a.keys["k2"] = rsa_key("b")
    world.waits(11)
    assert world.ask(world.a.token("k2", exp=In(900))).status == 200
    return world.a.token(header={"kid": ...}, exp=In(900))


def _cut(world: World) -> str:
    return world.a.token()[:-40]


def _padded(world: World) -> str:
    head, claims, sealed = world.a.token().split(".")
    return f"{head}.{claims}=.{sealed}"


def _changed_claims(world: World) -> str:
    head, _, sealed = world.a.token().split(".")
    return f"{head}.{b64(json.dumps(world.a.claims(sub='root')).encode())}.{sealed}"


def _encrypted(world: World) -> str:
    head = b64(json.dumps({"alg": "RSA-OAEP", "enc": "A256GCM", "cty": "JWT", "kid": "k1"}).encode())
    return f"{head}.{b64(b'key')}.{b64(b'iv')}.{b64(world.a.token().encode())}.{b64(b'tag')}"


def _nested(world: World) -> str:
    inner = world.a.token().encode()
    return compact({"alg": "RS256", "cty": "JWT", "kid": "k1"}, inner, world.a.keys["k1"])


DEEP = b'{"iss":"ISS","aud":"maas","azp":"cli","sub":' + b"[" * 5000 + b"]" * 5000 + b"}"
SHALLOW = {"note": [["]", '"['], {"of": [{}] * 200}]}
TWICE = b'{"iss":"ISS","aud":"maas","azp":"cli","exp":EXP,"sub":"alice","sub":"root"}'
INFINITE = b'{"iss":"ISS","aud":"maas","azp":"cli","sub":"alice","exp":Infinity}'
HUGE_EXP = b'{"iss":"ISS","aud":"maas","azp":"cli","sub":"alice","exp":1e400}'
LONG_EXP = b'{"iss":"ISS","aud":"maas","azp":"cli","sub":"alice","exp":' + b"9" * 400 + b"}"

CASES = (
    Case("a good token", token(), ALICE),
    Case("RS256, the header says RS512", header(alg="RS512"), "header: alg must be RS256"),
    Case("ES256", _by(ec.generate_private_key(ec.SECP256R1()), "ES256"), ALICE),
    Case("EdDSA", _by(ed25519.Ed25519PrivateKey.generate(), "EdDSA"), ALICE),
    Case("ES384", _by(ec.generate_private_key(ec.SECP384R1()), "ES384"), NO_KEY),
    Case("PS256, by the key's own word", _by(rsa_key("b"), "PS256", alg="PS256"), NO_KEY),
    Case("PS256, the key says nothing", _by(rsa_key("b"), "PS256"), "header: alg must be RS256"),
    Case("RSA of 1024 bits", _by(rsa_key("short", 1024), "RS256"), NO_KEY),
    Case("alg none", _alg_none, "header: alg must be RS256"),
    Case("HS256 with the public key", _hs256, "header: alg must be RS256"),
    Case("HS256 with a shared key that is published", _later(_hs256_published), NO_KEY),
    Case("a stranger's key under the issuer's kid", _stranger(), SIGNATURE),
    Case("a stranger's key, embedded as jwk", _stranger(jwk=jwk(rsa_key("stranger"), "k1")), SIGNATURE),
    Case("a stranger's key, at a jku", _stranger(jku="https://127.0.0.1:1/keys"), SIGNATURE),
    Case("a stranger's certificate, at an x5u", _stranger(x5u="https://127.0.0.1:1/cert"), SIGNATURE),
    Case("the issuer's own signature, with a jku beside it", header(jku="https://127.0.0.1:1/keys"), ALICE),
    Case("a key for encryption", _later(_published("enc", use="enc")), NO_KEY),
    Case("a key for other operations", _later(_published("wrap", key_ops=["wrapKey"])), NO_KEY),
    Case("a key that is published with its private part", _later(_published("leak", d="AQAB")), NO_KEY),
    Case("a kid that two keys have", _later(_twins), NO_KEY),
    Case("an unknown kid, just after the keys were read", header(kid="k9"), NO_KEY),
    Case("an unknown kid, when they may be read again", _later(header(kid="k9")), NO_KEY),
    Case("a rotated key", _rotated, ALICE),
    Case("a withdrawn key, once the new one was seen", _withdrawn, NO_KEY),
    Case("no kid, the issuer has one key", _without_kid, ALICE),
    Case("no kid, the issuer has two", _without_kid_of_two, "header: kid is missing"),
    Case("kid is a number", header(kid=7), "header: kid must be text"),
    Case("the issuer is down, the key is known", _down, ALICE),
    Case("the issuer is down, the key is new", _down_and_rotated, UNCHECKED),
    Case("the issuer has been down for a day", _down_for_long, UNCHECKED),
    Case("the issuer was never reached", lambda world: world.a.token(iss=NOWHERE), UNCHECKED),
    Case("the issuer's keys are junk now, the kid is new", _broken_keys, UNCHECKED),
    Case("another issuer", token(iss="https://elsewhere.example.com"), UNKNOWN),
    Case("the issuer with a slash more", lambda world: world.a.token(iss=world.a.url + "/"), UNKNOWN),
    Case("iss is a list", lambda world: world.a.token(iss=[world.a.url]), UNKNOWN),
    Case("no iss", token(iss=...), UNKNOWN),
    Case("the second issuer", _of_b(), ("b:bob@example.com", ("system:authenticated", "b:ops"))),
    Case(
        "the second issuer, another name in the first",
        _of_b(email="alice"),
        ("b:alice", ("system:authenticated", "b:ops")),
    ),
    Case("the second issuer's key for the first's users", _a_by_the_key_of_b, NO_KEY),
    Case("expired", token(exp=In(-31)), "exp: the token has expired"),
    Case("expired within the skew", token(exp=In(-20)), ALICE),
    Case("no exp", token(exp=...), "exp: is missing"),
    Case("exp as text", token(exp="1900000000"), "exp: must be a number"),
    Case("exp is true", token(exp=True), "exp: must be a number"),
    Case("exp is Infinity", raw(claims=INFINITE), "NaN and Infinity are no numbers"),
    Case("exp is 1e400", raw(claims=HUGE_EXP), "exp: must be a number"),
    Case("exp has 400 digits", raw(claims=LONG_EXP), "exp: must be a number"),
    Case("exp in milliseconds", token(exp=1_900_000_000_000), "exp: must be a number"),
    Case("early: nbf in a minute", token(nbf=In(60)), "nbf: the token is not valid yet"),
    Case("nbf within the skew", token(nbf=In(20)), ALICE),
    Case("nbf is a float", token(nbf=In(-0.5)), ALICE),
    Case("nbf is null", token(nbf=None), "nbf: must be a number"),
    Case("made tomorrow", token(iat=In(86400)), "iat: the token is not valid yet"),
    Case("the second audience", token(aud="other"), ALICE),
    Case("one audience of several", token(aud=["shop", "maas"]), ALICE),
    Case("wrong audience", token(aud="shop"), "aud: must have one of maas, other"),
    Case("no audience", token(aud=...), "aud: must be text or a list"),
    Case("audience is an object", token(aud={"maas": True}), "aud: must be text or a list"),
    Case("audience in capitals", token(aud="MAAS"), "aud: must have one of"),
    Case("azp is another application", token(azp="shop"), "azp: the token was made for an application"),
    Case("azp missing", token(azp=...), "azp: the token was made for an application"),
    Case("azp missing, client_id there (RFC 9068)", token(azp=..., client_id="cli"), ALICE),
    Case("azp is another one, client_id right", token(azp="shop", client_id="cli"), "azp: the token was made"),
    Case("azp is a list", token(azp=["cli"]), "azp: the token was made"),
    Case("typ at+jwt", header(typ="at+jwt"), ALICE),
    Case("no typ", header(typ=...), ALICE),
    Case("typ logout+jwt", header(typ="logout+jwt"), "header: typ must be JWT or at+jwt"),
    Case("typ dpop+jwt", header(typ="dpop+jwt"), "header: typ must be JWT or at+jwt"),
    Case("bound to its holder (cnf)", token(cnf={"jkt": "x"}), "cnf: the token is bound"),
    Case("crit", header(crit=["exp"], exp=1), "header: crit and b64 ask for extensions"),
    Case("crit is empty", header(crit=[]), "header: crit and b64 ask for extensions"),
    Case("b64 is false", header(b64=False), "header: crit and b64 ask for extensions"),
    Case("two alg in the header", raw(b'{"alg":"none","alg":"RS256","kid":"k1"}'), "header: a member is there twice"),
    Case("two sub in the claims", raw(claims=TWICE), "claims: a member is there twice"),
    Case("claims nested 5,000 deep", raw(claims=DEEP), UNKNOWN),
    Case("claims with 200 brackets, none deep", token(**SHALLOW), ALICE),
    Case("claims are a list", raw(claims=b"[1]"), UNKNOWN),
    Case("claims changed, signature kept", _changed_claims, SIGNATURE),
    Case("signature cut short", _cut, SIGNATURE),
    Case("padding", _padded, UNKNOWN),
    Case("huge: 17,000 characters", token(note="x" * 12_000), "more than 16384 characters"),
    Case("encrypted (JWE with a JWT in it)", _encrypted, UNKNOWN),
    Case("a JWT in a JWT", _nested, UNKNOWN),
    Case("groups as one text", token(groups="dev"), ALICE),
    Case("groups as one text with commas", token(groups="dev,ops"), ("a:alice", ("system:authenticated", "dev,ops"))),
    Case("groups as an object", token(groups={"dev": True}), "groups: must be a list of texts"),
    Case("groups with a number among them", token(groups=["dev", 7]), "groups: must be a list of texts"),
    Case("groups null", token(groups=None), ALONE),
    Case("no groups", token(groups=...), ALONE),
    Case("groups with blanks and twice the same", token(groups=["dev", "", "dev"]), ALICE),
    Case("groups: system:masters", token(groups=["system:masters", "dev"]), ALICE),
    Case("groups with a line break", token(groups=["dev\nops"]), "groups: must be printable"),
    Case("501 groups", token(groups=[str(number) for number in range(501)]), "groups: at most 500"),
    Case(
        "groups elsewhere (_claim_names)",
        token(groups=..., _claim_names={"groups": "x"}),
        "too many groups for the token",
    ),
    Case("username with a control character", token(sub="ali\x00ce"), "sub: must be printable"),
    Case("username that ends in a space", token(sub="alice "), "sub: must be printable"),
    Case("username turned round (U+202E)", token(sub="\u202eecila"), "sub: must be printable"),
    Case("username of 300 characters", token(sub="a" * 300), "sub: must be printable"),
    Case("username is a number", token(sub=7), "sub: must be the user's name"),
    Case("no username", token(sub=...), "sub: must be the user's name"),
    Case("username is blank", token(sub=" "), "sub: must be the user's name"),
    Case("email not verified", _of_b(email_verified=False), "email: email_verified must be true"),
    Case("email verified as text", _of_b(email_verified="true"), "email: email_verified must be true"),
    Case("email, nothing about its verification", _of_b(email_verified=...), "email: email_verified must be true"),
    Case("roles in no list", _of_b(realm_access={"roles": {"ops": 1}}), "realm_access.roles: must be a list"),
    Case(
        "roles that a cluster names its own",
        _of_b(realm_access={"roles": ["system:masters"]}),
        ("b:bob@example.com", ("system:authenticated", "b:system:masters")),
    ),
)
