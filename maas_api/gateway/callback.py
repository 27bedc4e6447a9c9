"""The gateway's callback about any credential, and about the call it is to pay for.

Authorino's own TokenReviews end at 20 a second. Its callback goes on to :class:`ReviewedTokens`, which asks the cluster
about a token once and remembers the answer for a while, so what a gateway carries no longer hangs on the API server.

A question that has ``model`` is about a call too: whether the credential's owner may make it is answered by
``allowed``, from the same rule as the authorizer's (:mod:`.judgement`). Everything else is answered as the Go service
answers it, byte for byte; a policy that gets no ``allowed`` has to deny.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from concurrent.futures import Future
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qs

from maas_api import body
from maas_api.access import named
from maas_api.access.caller import Caller
from maas_api.access.named import Named
from maas_api.errors import ApiError, encode, plain
from maas_api.gateway.authorizer import KEY_PREFIX, TOKEN_DEADLINE, KeyCheck
from maas_api.gateway.judgement import Call, Judgement, Passed
from maas_api.identity.headers import Identity
from maas_api.identity.tokens import Refused, TokenSource, User
from maas_api.validation.validation import UNAVAILABLE, key_in
from maas_api.validation.verdict import Verdict
from maas_api.wire import JSON_ONLY, FastRoute, Pending, Promise, Reply, Request

_log = logging.getLogger(__name__)
T = TypeVar("T")

_ABOUT_A_CALL = b'"model"'
"""Is in every question about a call. One that spells it otherwise gets no ``allowed``, and so is denied."""
_TOKEN = b'"token"'
_FIELDS = ("key", "token", "provider", "model", "body", "method", "path")


class _Asked(NamedTuple):
    """The call in a question. ``path`` is the request's own, or else ``provider`` says whose route it takes ("": the
    gateway's root); ``named`` is what the gateway's filter read in the body."""

    provider: str
    named: Named
    method: str
    path: str


class Callback:
    """``POST /internal/v1/api-keys/validate``. A question whose URL names no ``audience`` is about keys alone, as in
    the Go service; one that does may be about a platform token, which must be for one of the audiences."""

    def __init__(self, keys: FastRoute, tokens: TokenSource, checking: KeyCheck, judgement: Judgement) -> None:
        """``keys`` answers about a key alone, ``checking`` is the same as a verdict."""
        self._keys = keys
        self._tokens = tokens
        self._checking = checking
        self._judgement = judgement

    def route(self, request: Request) -> Reply | Pending:
        """The verdict. Never blocks: what the cluster or the store must be asked is promised."""
        if _ABOUT_A_CALL in request.body:
            return self._about_a_call(request)
        audiences = _audiences_of(request)
        if not audiences:
            return self._keys(request)
        credential = _credential_in(request.body)
        if not credential or credential.startswith(KEY_PREFIX):
            return self._keys(request)
        return _settled(self._tokens.lookup(credential, audiences), _user, TOKEN_DEADLINE)

    def _about_a_call(self, request: Request) -> Reply | Pending:
        try:
            fields = body.decode(request.body).folded(_FIELDS)
        except body.BodyError:
            return self._keys(request)  # which says what is wrong with it
        odd = next((name for name in _FIELDS[1:] if not isinstance(fields.get(name, ""), str)), "")
        if odd:
            return plain(400, f"{odd} must be a string, got {body.kind(fields[odd])}").reply()
        credential = _text(fields, "token") or _text(fields, "key")
        asked = _Asked(
            _text(fields, "provider"),
            named.told(_text(fields, "model"), _text(fields, "body")),
            _text(fields, "method") or "POST",
            _text(fields, "path"),
        )
        audiences = _audiences_of(request)
        if audiences and credential and not credential.startswith(KEY_PREFIX):
            user = self._tokens.lookup(credential, audiences)
            return _settled(user, lambda known: self._of_user(known, asked), TOKEN_DEADLINE)
        if not credential:
            return self._keys(request)
        verdict = self._checking.check(credential)
        return _settled(verdict, lambda known: self._of_key(known, asked), self._checking.deadline)

    def _of_key(self, verdict: Verdict, asked: _Asked) -> Reply:
        who = Identity(verdict.username, verdict.groups)
        caller = Caller(who, verdict.models, verdict.subscription, True) if verdict.valid else None
        return self._with_decision(verdict.body, caller, asked)

    def _of_user(self, user: User, asked: _Asked) -> Reply:
        caller = Caller(user, None, "", False) if isinstance(user, Identity) else None
        return self._with_decision(_user(user).body, caller, asked)

    def _with_decision(self, verdict: bytes, caller: Caller | None, asked: _Asked) -> Reply:
        """The verdict with the decision beside it. No caller: nothing is allowed."""
        more: dict[str, object] = {"allowed": False}
        if caller is not None:
            try:
                passed = self._decide(caller, asked)
                said = {"route": passed.route, "model": passed.model, "provider": passed.provider}
                more = {"allowed": True, **{name: value for name, value in said.items() if value}}
            except ApiError as refusal:
                if refusal.status >= 500:
                    return UNAVAILABLE  # it may pass; a policy must not remember it
                more |= {"reason": _message(refusal), "refusal": encode(refusal.body).decode()}
        return Reply(200, JSON_ONLY, verdict[:-1] + b"," + encode(more)[1:])

    def _decide(self, caller: Caller, asked: _Asked) -> Passed:
        """Where the call goes, and what it runs. Raises ApiError for one that may not be made."""
        if asked.path:
            return self._judgement.judge(Call(asked.method, asked.path, asked.named), caller)
        return self._judgement.judge_model(asked.provider, asked.named, caller)


def _audiences_of(request: Request) -> tuple[str, ...]:
    target = request.target
    return _audiences(target.partition("?")[2]) if "?" in target else ()


@lru_cache(maxsize=64)
def _audiences(query: str) -> tuple[str, ...]:
    return tuple(parse_qs(query).get("audience", ()))


def _credential_in(raw: bytes) -> str:
    """``token``, which a policy sends whose gateway has verified it (``key`` is then its claims), or else ``key``."""
    if _TOKEN not in raw:
        return key_in(raw)
    try:
        fields = body.decode(raw).folded(("key", "token"))
    except body.BodyError:
        return ""
    return _text(fields, "token") or _text(fields, "key")


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def _message(refusal: ApiError) -> str:
    error = refusal.body["error"]
    return str(error["message"] if isinstance(error, dict) else error)


def _user(user: User) -> Reply:
    reason = user.reason if isinstance(user, Refused) else "unknown platform token"
    fields: dict[str, object] = {"valid": False, "tenant": "", "reason": reason}
    if isinstance(user, Identity):
        fields = {"valid": True, "username": user.username, "groups": user.groups}
    return Reply(200, JSON_ONLY, json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode())


def _settled(answer: T | Future[T], say: Callable[[T], Reply], deadline: float) -> Reply | Pending:
    """Answer from what is known, or promise to. What cannot be known now is said in a way that no policy remembers."""
    if not isinstance(answer, Future):
        return say(answer)
    promise = Promise()

    def done(known: Future[T]) -> None:
        try:
            reply = say(known.result())
        except Exception as fault:  # whatever went wrong, no verdict is given
            _log.warning("a credential could not be checked", extra={"fault": type(fault).__name__})
            reply = UNAVAILABLE
        promise.settle(reply)

    answer.add_done_callback(done)
    return Pending(promise, deadline, UNAVAILABLE)
