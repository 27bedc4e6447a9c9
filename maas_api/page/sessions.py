"""Sessions of a browser: begun with a platform token or a one-time link, ended by their user, an admin, or time.

The cookie holds a number that nobody can guess, signed; the store holds its hash. So neither a look into the store nor
a number of one's own opens a session, and none outlives its row. A number that a browser brings along is never taken
over: every sign-in makes a new one.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Final, NamedTuple

from maas_api.identity.headers import Identity
from maas_api.identity.oidc.compact import end_of
from maas_api.identity.tokens import Refused, TokenSource
from maas_api.page.signing import Signer, digest, new_secret
from maas_api.page.statements import PageStore, SignedIn

LINK_LIFE: Final = timedelta(hours=1)
TOKEN_SECONDS: Final = 0.9
"""How long the review of a token may take."""
_SESSION: Final = "session"
_NOBODY: Final = Refused("Nobody has this token.")
_OVER: Final = Refused("The token has expired; sign in again.")


class UnavailableError(Exception):
    """A token that could not be checked now."""


class Session(NamedTuple):
    """A session: ``id`` is its secret number."""

    id: str
    who: Identity


Holder = Callable[[str], Identity | None]
"""Who holds the token with this SHA-256 today, None for nobody."""


def nobody(_username: str) -> bool:
    """Nobody has left, as far as anyone knows."""
    return False


class Sessions:
    """Begins, finds and ends sessions. Methods raise sqlalchemy.exc.SQLAlchemyError where the store is silent."""

    def __init__(
        self,
        store: PageStore,
        tokens: TokenSource,
        lifetime: timedelta,
        now: Callable[[], datetime],
        holder: Holder | None = None,
        gone: Callable[[str], bool] = nobody,
    ) -> None:
        """``gone``: whether a user has left, or is disabled. ``holder``: where it is given, a session ends with the
        token that began it, and its groups are today's."""
        self._store = store
        self._tokens = tokens
        self._lifetime = lifetime
        self._now = now
        self._holder = holder
        self._gone = gone

    @cached_property
    def signer(self) -> Signer:
        """Signs with the installation's key."""
        return Signer(self._store.key())

    def by_token(self, token: str) -> Session | Refused:
        """A new session for a platform token, or why there is none. Raises UnavailableError."""
        found = self._tokens.lookup(token)
        if isinstance(found, Future):
            try:
                found = found.result(TOKEN_SECONDS)
            except Exception:  # whatever went wrong, nobody is let in
                raise UnavailableError from None
        if not isinstance(found, Identity):
            return found or _NOBODY
        end = self._end_of(token)
        return self._begin(found, digest(token), end) if end > self._now() else _OVER

    def _end_of(self, token: str) -> datetime:
        """When a session that a token begins is over: with the token, where that says when, at the latest."""
        said, most = end_of(token), self._now() + self._lifetime
        return most if said is None or said >= most.timestamp() else datetime.fromtimestamp(said, UTC)

    def by_link(self, code: str) -> Session | None:
        """A new session for a one-time link; None where it was used, is over, or never was."""
        held = self._store.take_link(code, self._now())
        return None if held is None else self._begin(held.who, held.credential, self._now() + self._lifetime)

    def link(self, who: Identity, credential: str) -> str:
        """A code that signs ``who`` in once. ``credential``: the SHA-256 of the token that vouches for it."""
        code = new_secret()
        self._store.put_link(code, SignedIn(who, credential, self._now() + LINK_LIFE))
        return code

    def cookie(self, session: Session) -> str:
        """The session's cookie."""
        return self.signer.signed(_SESSION, session.id)

    def find(self, cookie: str) -> Session | None:
        """The session that a cookie is of, while that lasts."""
        number = self.signer.opened(_SESSION, cookie)
        held = None if number is None else self._store.find(number, self._now())
        if number is None or held is None:
            return None
        who = held.who if self._holder is None else self._holder(held.credential)
        return None if who is None or self._gone(who.username) else Session(number, who)

    def end(self, session: Session) -> None:
        """End it."""
        self._store.end(session.id)

    def end_all(self, username: str) -> int:
        """End every session of a user; gives how many there were."""
        return self._store.end_all(username)

    def _begin(self, who: Identity, credential: str, end: datetime) -> Session:
        made = Session(new_secret(), who)
        self._store.begin(made.id, SignedIn(who, credential, end), self._now())
        return made
