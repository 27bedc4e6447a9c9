"""Platform tokens: who presents one. A static file on a laptop, TokenReview on a cluster, issuers (:mod:`.oidc`).

Only the SHA-256 of a token is compared or used as a cache key. A static token has no shape of its own to be known by,
so the redactor of log lines is told it.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import yaml
from cachetools import TTLCache

from maas_api.config import ConfigError
from maas_api.identity.headers import Identity
from maas_api.observability import metrics
from maas_api.observability.redaction import REDACTOR

REVIEW_TTL_SECONDS = 30.0
"""How long a reviewed token is believed; the bound within which a deleted service account stops working."""
_REFUSED_TTL_SECONDS = 2.0
_REVIEWS_REMEMBERED = 8192
_QUESTIONS_WAITING = 256
_QUESTION_SECONDS = 1.0
"""Reviews are slow and anyone can invent tokens: more questions than this are not taken, and one that has waited longer
than its asker does is not put to the cluster any more."""
_MIN_TOKEN_LENGTH = 16

_VALID, _INVALID, _ERROR = (metrics.token_reviews.labels(result) for result in ("valid", "invalid", "error"))


class Refused(NamedTuple):
    """A token that is known to be nobody's, and why, in words for whoever sent it."""

    reason: str


User = Identity | Refused | None
"""Who a token stands for; None for a token that nobody here issued."""


class TokenSource(Protocol):
    """Turns a bearer token into the platform user it stands for."""

    def lookup(self, token: str, audiences: Sequence[str] = ()) -> User | Future[User]:
        """The user, or why there is none. A Future where somebody must be asked.

        ``audiences``: one of which a token of the cluster must be for; none given: those of the settings.
        Never blocks. The future raises when the answer cannot be had; that is neither yes nor no.
        """


class NoTokens:
    """No platform tokens are accepted: only API keys open the gateway."""

    def lookup(self, token: str, audiences: Sequence[str] = ()) -> None:
        """None for every token."""


class EitherTokens:
    """Tokens of the first source that knows one, be it to refuse it; the second is asked only about those it does not
    know."""

    def __init__(self, first: TokenSource, second: TokenSource) -> None:
        self._first = first
        self._second = second

    def lookup(self, token: str, audiences: Sequence[str] = ()) -> User | Future[User]:
        """The user by either source."""
        return self._first.lookup(token, audiences) or self._second.lookup(token, audiences)


class StaticTokens:
    """Users from a YAML file: a list of ``token``, ``username`` and ``groups``. For a machine without a cluster."""

    def __init__(self, users: dict[str, Identity]) -> None:
        self._users = users

    @classmethod
    def from_file(cls, path: Path) -> StaticTokens:
        """Read the file. Raises ConfigError naming the file, the entry and the rule, never the token."""
        try:
            document = yaml.safe_load(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as fault:
            where = getattr(fault, "problem_mark", None)
            line = f", line {where.line + 1}" if where is not None else ""
            raise ConfigError(f"--tokens-file: {path}{line}: cannot be read as YAML") from fault
        if not isinstance(document, list):
            raise ConfigError(f"--tokens-file: {path}: must be a list of users, each with token, username and groups")
        users: dict[str, Identity] = {}
        for number, entry in enumerate(document, 1):
            digest, user = _user(entry, f"--tokens-file: {path}, entry {number}")
            if digest in users:
                raise ConfigError(f"--tokens-file: {path}, entry {number}: token is used by an earlier entry too")
            users[digest] = user
        return cls(users)

    def lookup(self, token: str, audiences: Sequence[str] = ()) -> Identity | None:
        """The user who owns the token. The hash is compared, so timing tells nothing about a token."""
        return self._users.get(_digest(token))

    def holder(self, digest: str) -> Identity | None:
        """The user whose token has this SHA-256, in hex."""
        return self._users.get(digest)


def _user(entry: Any, where: str) -> tuple[str, Identity]:
    if not isinstance(entry, dict):
        raise ConfigError(f"{where}: must have token, username and groups, got {type(entry).__name__}")
    unknown = sorted(str(name) for name in set(entry) - {"token", "username", "groups"})
    if unknown:
        raise ConfigError(f"{where}: unknown field {unknown[0]!r}; known are token, username and groups")
    token, username, groups = entry.get("token"), entry.get("username"), entry.get("groups")
    if not isinstance(token, str) or len(token) < _MIN_TOKEN_LENGTH:
        raise ConfigError(f"{where}: token must be text of at least {_MIN_TOKEN_LENGTH} characters")
    if token.startswith("sk-oai-"):
        raise ConfigError(f"{where}: token must not begin with sk-oai-, that is how API keys begin")
    if not isinstance(username, str) or not username.strip():
        raise ConfigError(f"{where}: username must be non-blank text")
    if not isinstance(groups, list) or not groups or not all(isinstance(name, str) and name.strip() for name in groups):
        raise ConfigError(f"{where}: groups must be a list of at least one non-blank name")
    REDACTOR.remember(token)
    return _digest(token), Identity(username.strip(), tuple(name.strip() for name in groups))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


Review = Callable[[str, Sequence[str]], Identity | None]
"""Asks the cluster: (token, audiences) -> the authenticated user, or None. Raises when it cannot be asked."""


class ReviewedTokens:
    """Users by the cluster's TokenReview, asked in a small pool and remembered for a short while."""

    def __init__(
        self, review: Review, audiences: Sequence[str], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._review = review
        self._audiences = tuple(audiences)
        self._clock = clock
        self._lock = threading.Lock()
        self._known: TTLCache[str, Identity] = TTLCache(_REVIEWS_REMEMBERED, REVIEW_TTL_SECONDS, timer=clock)
        self._refused: TTLCache[str, bool] = TTLCache(_REVIEWS_REMEMBERED, _REFUSED_TTL_SECONDS, timer=clock)
        self._asking: dict[str, Future[User]] = {}
        self._pool: ThreadPoolExecutor | None = None

    def start(self) -> None:
        """Begin answering."""
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="token-review")

    def stop(self) -> None:
        """Stop; questions under way are abandoned."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def lookup(self, token: str, audiences: Sequence[str] = ()) -> User | Future[User]:
        """Known answers at once; otherwise one question to the cluster, shared by everyone who waits for it."""
        wanted = tuple(audiences) or self._audiences
        digest = _digest("\0".join((*wanted, token)))
        with self._lock:
            known = self._known.get(digest)
            if known is not None:
                return known
            if digest in self._refused:
                return None
            waiting = self._asking.get(digest)
            if waiting is not None:
                return waiting
            if self._pool is None or len(self._asking) >= _QUESTIONS_WAITING:
                failed: Future[User] = Future()
                why = "is not running" if self._pool is None else "has too much to do"
                failed.set_exception(RuntimeError(f"token review {why}"))
                return failed
            future: Future[User] = self._pool.submit(
                self._ask, token, wanted, digest, self._clock() + _QUESTION_SECONDS
            )
            self._asking[digest] = future
        future.add_done_callback(lambda _done: self._forget(digest))
        return future

    def _forget(self, digest: str) -> None:
        with self._lock:
            self._asking.pop(digest, None)

    def _ask(self, token: str, audiences: Sequence[str], digest: str, until: float) -> User:
        if self._clock() > until:
            raise TimeoutError("nobody waits for this review any more")
        try:
            user = self._review(token, audiences)
        except Exception:
            _ERROR.inc()
            raise
        (_INVALID if user is None else _VALID).inc()
        with self._lock:
            if user is None:
                self._refused[digest] = True
            else:
                self._known[digest] = user
        return user
