"""Platform tokens of people who have left, or are disabled, before their tokens end."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

from maas_api.identity.headers import Identity
from maas_api.identity.tokens import Refused, TokenSource, User
from maas_api.membership.membership import Membership

_GONE = Refused("the directory says that its user has left, or is disabled")


class UnknownError(Exception):
    """The directory was not read yet."""


class PresentTokens:
    """The tokens of another source, of those who are still there. A token's groups are its own: they are as old as it
    is."""

    def __init__(self, source: TokenSource, membership: Membership) -> None:
        self._source = source
        self._membership = membership

    def lookup(self, token: str, audiences: Sequence[str] = ()) -> User | Future[User]:
        """The user, or why there is none. The future raises before the directory was read."""
        found = self._source.lookup(token, audiences)
        if found is None or isinstance(found, Refused):
            return found
        answer: Future[User] = Future()
        if isinstance(found, Future):
            found.add_done_callback(lambda done: self._settle(answer, done))
            return answer
        try:
            return self._present(found)
        except UnknownError as fault:
            answer.set_exception(fault)
            return answer

    def _settle(self, answer: Future[User], done: Future[User]) -> None:
        try:
            answer.set_result(self._present(done.result()))
        except Exception as fault:  # whoever waits is told, whatever it is
            answer.set_exception(fault)

    def _present(self, user: User) -> User:
        if not isinstance(user, Identity):
            return user
        roster = self._membership.roster
        if roster is None:
            raise UnknownError("the directory was not read yet")
        return _GONE if roster.gone(user.username) else user
