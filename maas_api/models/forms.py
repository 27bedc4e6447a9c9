"""An answer's body in the forms that clients take: as it is, or compressed, each made once. Pure.

Nothing in these bodies is secret, and nothing of a request comes back in them, so that compressing them tells nobody
anything (BREACH needs both in one body).
"""

from __future__ import annotations

import hashlib
import sys
import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

AS_IT_IS: Final = ""
_WORTH_BYTES: Final = 1024  # below, the head of an answer is as long as what would be saved
_HEADER_LENGTH: Final = 128  # of an Accept-Encoding that is read; what clients send has a third of it


def _gzip(body: bytes) -> bytes:
    """At the fastest level: a thousand models take a millisecond of the event loop, and a thirtieth of the bytes."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


CODINGS: Final[dict[str, Callable[[bytes], bytes]]] = {"gzip": _gzip}
"""What clients may ask for, the preferred first."""
if sys.version_info >= (3, 14):
    from compression import zstd

    CODINGS = {"zstd": zstd.compress, **CODINGS}


class Form(NamedTuple):
    """One form of a body. ``coding``: its Content-Encoding, "" for none. Each form has a strong validator of its own
    (RFC 9110, 8.8.1): no two of them are the same bytes."""

    coding: str
    etag: bytes


class Body:
    """A body and its forms. Those that are kept take at most half as much as itself, together with it."""

    __slots__ = ("_hash", "_packed", "plain")

    def __init__(self, plain: bytes) -> None:
        self.plain = plain
        self._hash = hashlib.sha256(plain).hexdigest()[:32]
        self._packed: dict[str, bytes] = {}

    @property
    def etag(self) -> bytes:
        """The validator of the body as it is: the same bytes give the same one in every process."""
        return f'"{self._hash}"'.encode()

    def forms(self, accepted: str | None) -> list[Form]:
        """The forms that a client takes, the preferred first; at least one. ``accepted``: its Accept-Encoding."""
        if accepted is None or len(self.plain) < _WORTH_BYTES or len(accepted) > _HEADER_LENGTH:
            return [Form(AS_IT_IS, self.etag)]
        return [
            Form(coding, f'"{self._hash}-{coding}"'.encode() if coding else self.etag)
            for coding in codings(accepted, tuple(CODINGS))
        ]

    def packed(self, coding: str) -> bytes:
        """The bytes of a form; ``b""`` for one that is not worth it."""
        if not coding:
            return self.plain
        found = self._packed.get(coding)
        if found is None:
            found = CODINGS[coding](self.plain)
            room = len(self.plain) // 2 - sum(map(len, self._packed.values()))
            found = self._packed[coding] = found if len(found) <= room else b""
        return found


@lru_cache(maxsize=256)
def codings(accepted: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the ``known`` codings that an Accept-Encoding accepts (RFC 9110, 12.5.3), and none at all ("") unless it
    is refused, the preferred first. Where nothing is accepted it is none at all: a server may."""
    weights = _weights(accepted)
    others = weights.get("*", 0.0)
    ranked = [(weights.get(name, others), name) for name in known]
    ranked.append((weights.get("identity", weights.get("*", 1e-9)), AS_IT_IS))
    found = [(weight, name) for weight, name in ranked if weight > 0]
    return tuple(name for _, name in sorted(found, key=lambda pair: -pair[0])) or (AS_IT_IS,)


def _weights(accepted: str) -> Mapping[str, float]:
    found = {}
    for item in accepted.lower().split(","):
        name, _, parameter = item.partition(";")
        key, _, value = parameter.strip().partition("=")
        try:
            weight = float(value) if key.strip() == "q" else 1.0
        except ValueError:
            weight = 0.0
        found[name.strip()] = weight if 0 <= weight <= 1 else 0.0
    return found
