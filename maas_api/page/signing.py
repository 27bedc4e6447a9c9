"""What the page gives to a browser and takes back is signed with the installation's key. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Final

KEY_BYTES: Final = 32
_ID_BYTES: Final = 32
_SEPARATOR: Final = "."


def new_key() -> bytes:
    """A key for :class:`Signer`."""
    return secrets.token_bytes(KEY_BYTES)


def new_secret() -> str:
    """What nobody can guess, in characters that a cookie and a URL take as they are."""
    return secrets.token_urlsafe(_ID_BYTES)


def digest(secret: str) -> str:
    """What is stored in a secret's place: its SHA-256, in hex."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


class Signer:
    """Signs for one purpose at a time: what is signed for one is nothing for another."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def tag(self, purpose: str, text: str) -> str:
        """The signature alone."""
        made = hmac.new(self._key, f"{purpose}\0{text}".encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(made).decode().rstrip("=")

    def signed(self, purpose: str, text: str) -> str:
        """``text`` with its signature."""
        return f"{text}{_SEPARATOR}{self.tag(purpose, text)}"

    def opened(self, purpose: str, value: str) -> str | None:
        """The text of a signed value; None where the signature is not ours."""
        text, _, tag = value.rpartition(_SEPARATOR)
        return text if text and self.is_tag(purpose, text, tag) else None

    def is_tag(self, purpose: str, text: str, tag: str) -> bool:
        """Whether ``tag`` is the signature of ``text``, in constant time."""
        return hmac.compare_digest(self.tag(purpose, text).encode(), tag.encode("utf-8", "surrogatepass"))
