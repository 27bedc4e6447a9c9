"""Platform users by the tokens of issuers: a source beside the token file and the cluster's TokenReview.

A token is verified once and then remembered, by its SHA-256, as long as the key that signed it is the issuer's.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final, NamedTuple

from cachetools import LRUCache

from maas_api.identity.headers import Identity
from maas_api.identity.oidc.claims import Known, known
from maas_api.identity.oidc.compact import MAX_TOKEN, Header, RefusedError, header_of, issuer_of
from maas_api.identity.oidc.issuer import Issuer
from maas_api.identity.oidc.jwks import Key, verified
from maas_api.identity.oidc.keeper import Keeper, UnknownError
from maas_api.identity.tokens import Refused, User
from maas_api.observability import metrics

_log = logging.getLogger(__name__)

_REMEMBERED: Final = 8192
_VALID, _REFUSED, _UNKNOWN = (metrics.oidc_tokens.labels(result) for result in ("valid", "refused", "unknown"))


class _Verified(NamedTuple):
    user: Known
    key: Key


class OidcTokens:
    """A TokenSource. Decides alone about a token whose issuer is one of these, and says None about all others."""

    def __init__(self, keepers: Sequence[tuple[Issuer, Keeper]], *, wall: Callable[[], float] = time.time) -> None:
        self._keepers = {issuer.url: (issuer, keeper) for issuer, keeper in keepers}
        self._wall = wall
        self._lock = threading.Lock()
        self._known: LRUCache[str, _Verified] = LRUCache(_REMEMBERED)

    def lookup(self, token: str, audiences: Sequence[str] = ()) -> User | Future[User]:
        """The user, or why there is none. A Future only where an issuer must be asked for a key it has not named yet.

        ``audiences`` are the cluster's business: what a token here must be for is said with its issuer.
        """
        if not token.startswith("eyJ"):  # '{"', which begins every header
            return None
        if len(token) > MAX_TOKEN:
            return _no(RefusedError(f"the token has more than {MAX_TOKEN} characters"))
        place = self._keepers.get(issuer_of(token) or "")
        if place is None:
            return None
        issuer, keeper = place
        try:
            header = header_of(token)
            found = keeper.find(header.kid)
            if isinstance(found, Future):
                return self._later(found, token, header, issuer, keeper)
            return self._judged(found, token, header, issuer)
        except RefusedError as fault:
            return _no(fault)
        except UnknownError as fault:
            return _failed(fault)

    def report(self) -> dict[str, object]:
        """Each issuer, and how fresh its keys are."""
        return {url: keeper.report() for url, (_, keeper) in self._keepers.items()}

    def _judged(self, key: Key | None, token: str, header: Header, issuer: Issuer) -> Identity:
        """Raises RefusedError."""
        if key is None:
            raise RefusedError("header: the issuer has no key of this kid" if header.kid else "header: kid is missing")
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
        now = self._wall()
        with self._lock:
            before = self._known.get(digest)
        if before is not None and before.key is key and now < before.user.until:
            _VALID.inc()
            return before.user.who
        user = known(verified(token, key, header.algorithm), issuer, now)
        with self._lock:
            self._known[digest] = _Verified(user, key)
        _VALID.inc()
        return user.who

    def _later(self, waiting: Future[None], token: str, header: Header, issuer: Issuer, keeper: Keeper) -> Future[User]:
        answer: Future[User] = Future()

        def again(_done: Future[None]) -> None:
            try:
                found = keeper.find(header.kid)
                if isinstance(found, Future):
                    raise UnknownError(f"{issuer.url}: its keys are read again")  # noqa: TRY301 -- told like the others
                answer.set_result(self._judged(found, token, header, issuer))
            except RefusedError as fault:
                answer.set_result(_no(fault))
            except Exception as fault:  # whoever waits is told, whatever it is
                _UNKNOWN.inc()
                answer.set_exception(fault)

        waiting.add_done_callback(again)
        return answer


def _no(fault: RefusedError) -> Refused:
    _REFUSED.inc()
    return Refused(str(fault))


def _failed(fault: Exception) -> Future[User]:
    _UNKNOWN.inc()
    failed: Future[User] = Future()
    failed.set_exception(fault)
    return failed
