"""The shape of an API key: how one is made, recognised and hashed. Pure.

Three formats validate:

* ``sk-oai-<id>_<secret>``, minted today. Stored is the SHA-256 over ``id NUL secret``. Secrets minted here are 49
  characters: 43 that carry 32 random bytes, then a CRC-32 of everything before them in 6, so that a mistyped or
  invented key is refused without asking the store. Secrets of the Go service (at most 43 characters) have no such tail.
* ``sk-oai-<secret>``, minted before March 2026. Stored is the SHA-256 over the whole key.

* ``sk-oai-was_<hex>``: another gateway's key, its bytes in lower-case hex, so that it has this shape, by which every
  gateway, log and filter here knows a key and keeps it secret. Stored is the SHA-256 over that key, as other gateways
  store theirs. What it is in hex must be no key of the formats above: each key is written in one way.

Numbers are base62 in the order ``0-9A-Za-z``, most significant digit first.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib
from collections.abc import Callable
from typing import NamedTuple

PREFIX = "sk-oai-"
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

_ID_BYTES, _ID_LENGTH = 12, 17  # 62**17 > 2**96
_RANDOM_BYTES, _RANDOM_LENGTH = 32, 43  # 62**43 > 2**256
_CHECKSUM_LENGTH = 6  # 62**6 > 2**32, so three pairs
_SECRET_LENGTH = _RANDOM_LENGTH + _CHECKSUM_LENGTH
_SHOWN = 12

IMPORTED = "was"
"""In the place of an id: 96 random bits are never this."""
_FOREIGN_MAX = 128  # bytes
_FOREIGN = re.compile(rb"[\x21-\x7e]+")

_KEY = re.compile(r"sk-oai-([0-9A-Za-z]+)(?:_([0-9A-Za-z]+))?", re.ASCII)


class NewKey(NamedTuple):
    """A key just made. ``plaintext`` is shown once and kept nowhere; ``prefix`` is safe to display."""

    plaintext: str
    hash: str
    prefix: str


def make(random: Callable[[int], bytes] = secrets.token_bytes) -> NewKey:
    """A new key. ``random`` gives that many cryptographically random bytes."""
    key_id = base62(random(_ID_BYTES), _ID_LENGTH)
    body = f"{PREFIX}{key_id}_{base62(random(_RANDOM_BYTES), _RANDOM_LENGTH)}"
    plaintext = body + _checksum(body)
    return NewKey(plaintext, _salted(key_id, plaintext[len(PREFIX) + len(key_id) + 1 :]), display_prefix(key_id))


def hash_key(raw: str) -> str | None:
    """What the store knows a key by: 64 lower-case hex digits. None when ``raw`` cannot be a key."""
    key_hash = hash_unchecked(raw)
    return key_hash if key_hash is not None and intact(raw) else None


def intact(raw: str) -> bool:
    """Whether what has a key's shape has the checksum it should have; True where it should have none."""
    key_id, _, secret = raw[len(PREFIX) :].partition("_")
    if len(secret) != _SECRET_LENGTH or key_id == IMPORTED:
        return True
    return _checksum(raw[:-_CHECKSUM_LENGTH]) == raw[-_CHECKSUM_LENGTH:]


def hash_unchecked(raw: str) -> str | None:
    """The same for whatever has a key's shape, whether it is :func:`intact` or not."""
    match = _KEY.fullmatch(raw)
    if match is None:
        return None
    first, secret = match.groups()
    if secret is None:
        return hashlib.sha256(raw.encode("ascii")).hexdigest() if len(first) <= _RANDOM_LENGTH else None
    if first == IMPORTED:
        return _imported(secret)
    return _salted(first, secret)


def _imported(secret: str) -> str | None:
    if not re.fullmatch("(?:[0-9a-f]{2})+", secret) or len(secret) > 2 * _FOREIGN_MAX:
        return None
    foreign = bytes.fromhex(secret)
    if not _FOREIGN.fullmatch(foreign) or foreign.startswith(PREFIX.encode()):
        return None
    return hashlib.sha256(foreign).hexdigest()


def display_prefix(key_id: str) -> str:
    """The part of a key that may be shown again."""
    return f"{PREFIX}{key_id[:_SHOWN]}..."


def base62(data: bytes, width: int = 1) -> str:
    """Bytes as a big-endian number in base62, padded on the left with zeros to ``width`` digits."""
    return _digits(int.from_bytes(data, "big")).rjust(width, ALPHABET[0])


def _digits(number: int) -> str:
    found = []
    while number:
        number, digit = divmod(number, 62)
        found.append(ALPHABET[digit])
    return "".join(reversed(found))


_PAIRS = tuple(high + low for high in ALPHABET for low in ALPHABET)


def _checksum(text: str) -> str:
    """Six digits, in pairs: this is done at every lookup, and one by one they took four times as long."""
    rest, last = divmod(zlib.crc32(text.encode("ascii")), 3844)
    first, middle = divmod(rest, 3844)
    return _PAIRS[first] + _PAIRS[middle] + _PAIRS[last]


def _salted(key_id: str, secret: str) -> str:
    return hashlib.sha256(f"{key_id}\0{secret}".encode("ascii")).hexdigest()
