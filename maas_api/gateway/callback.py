"""The gateway's callback about any credential: API keys by their validation, platform tokens by who they are for.

Authorino's own TokenReviews end at 20 a second. Its callback goes on to :class:`ReviewedTokens`, which asks the cluster
about a token once and remembers the answer for a while, so what a gateway carries no longer hangs on the API server.
"""

from __future__ import annotations

import json
import logging
from concurrent.futures import Future
from functools import lru_cache
from urllib.parse import parse_qs

from maas_api.gateway.authorizer import KEY_PREFIX, TOKEN_DEADLINE
from maas_api.identity.headers import Identity
from maas_api.identity.tokens import TokenSource
from maas_api.validation.validation import UNAVAILABLE, key_in
from maas_api.wire import JSON, FastRoute, Pending, Promise, Reply, Request

_log = logging.getLogger(__name__)


class Callback:
    """``POST /internal/v1/api-keys/validate``. A question whose URL names no ``audience`` is about keys alone, as in
    the Go service; one that does may be about a platform token, which must be for one of the audiences."""

    def __init__(self, keys: FastRoute, tokens: TokenSource) -> None:
        self._keys = keys
        self._tokens = tokens

    def route(self, request: Request) -> Reply | Pending:
        """The verdict. Never blocks: what the cluster must be asked is promised."""
        _, asks, query = request.target.partition("?")
        audiences = _audiences(query) if asks else ()
        if not audiences:
            return self._keys(request)
        credential = key_in(request.body)
        if not credential or credential.startswith(KEY_PREFIX):
            return self._keys(request)
        user = self._tokens.lookup(credential, audiences)
        if not isinstance(user, Future):
            return _verdict(user)
        promise = Promise()
        user.add_done_callback(lambda known: promise.settle(_settled(known)))
        return Pending(promise, TOKEN_DEADLINE, UNAVAILABLE)


@lru_cache(maxsize=64)
def _audiences(query: str) -> tuple[str, ...]:
    return tuple(parse_qs(query).get("audience", ()))


def _settled(known: Future[Identity | None]) -> Reply:
    fault = known.exception()
    if fault is None:
        return _verdict(known.result())
    _log.warning("a platform token could not be reviewed", extra={"fault": type(fault).__name__})
    return UNAVAILABLE


def _verdict(user: Identity | None) -> Reply:
    fields: dict[str, object] = {"valid": False, "tenant": "", "reason": "unknown platform token"}
    if user is not None:
        fields = {"valid": True, "username": user.username, "groups": user.groups}
    return Reply(200, (JSON,), json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode())
