"""Who reads usage: a user whom the gateway vouches for, or a key that is presented.

A key reads its own usage. All of its owner's it reads where it asks for that (``scope=user``) and is not limited: a key
without an allow-list and without a budget may mint and revoke its owner's keys anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, NamedTuple, Protocol

from maas_api.errors import plain
from maas_api.identity.headers import Identity
from maas_api.validation.verdict import Verdict

PREFIX: Final = "sk-oai-"


class KeyCheck(Protocol):
    """Looks an API key up; a future raises where the answer cannot be had."""

    @property
    def deadline(self) -> float: ...
    def check(self, raw_key: str) -> Verdict | Future[Verdict]: ...


class UncheckedError(Exception):
    """Whether a key is good could not be found out."""


class Reader(NamedTuple):
    """Who asks. ``key_id``: the key that does, empty for a user. ``limited``: a key with an allow-list or a budget."""

    who: Identity
    key_id: str = ""
    limited: bool = False


class Presented:
    """The key in an ``Authorization`` header."""

    def __init__(self, keys: KeyCheck) -> None:
        self._keys = keys

    def verdict(self, authorization: str) -> Verdict | None:
        """What is known of it, None where no key is presented. Raises UncheckedError."""
        scheme, _, presented = authorization.partition(" ")
        if scheme.lower() != "bearer" or not presented.strip().startswith(PREFIX):
            return None
        found = self._keys.check(presented.strip())
        if not isinstance(found, Future):
            return found
        try:
            return found.result(self._keys.deadline)
        except Exception:  # whatever went wrong, nobody is told of a key that was not looked up
            raise UncheckedError from None

    def reader(self, who: Callable[[], Identity], authorization: str) -> Reader:
        """Who reads: ``who`` the gateway says it is, by the key that it passed on, if any. Raises ApiError."""
        identity = who()
        try:
            verdict = self.verdict(authorization)
        except UncheckedError:
            raise plain(
                503, "the API key could not be checked now, try again", headers=(("Retry-After", "1"),)
            ) from None
        if verdict is None:
            return Reader(identity)
        if not verdict.valid or verdict.username != identity.username:
            reason = "it is another user's" if verdict.valid else verdict.reason
            raise plain(401, f"the API key is not accepted: {reason}")
        return Reader(identity, verdict.key_id, verdict.models is not None or bool(verdict.budgets))
