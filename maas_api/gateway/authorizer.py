"""The gateway's question "may this request pass, and as whom": Envoy's HTTP ext_authz, as a fast route.

Envoy (or Istio's ``envoyExtAuthzHttp``) sends the original method and path behind ``/internal/v1/authz``. 200 lets
the request pass and carries the caller's identity as headers; anything else is what the client gets to see. The
authorization server's HTTP contract: envoy/service/auth/v3/external_auth.proto and the ext_authz filter's reference.

Envoy 1.40 sends ``x-envoy-internal`` with its question, but neither ``x-forwarded-for`` nor
``x-envoy-original-path``, the two by which ``/internal`` tells a forwarded client's request from the gateway's own
(tests/integration/gateway holds it to that).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import lru_cache
from typing import Protocol, TypeVar
from urllib.parse import unquote

from maas_api import errors
from maas_api.access import named
from maas_api.access.caller import Caller
from maas_api.errors import ApiError
from maas_api.gateway import quota
from maas_api.gateway.judgement import Call, Judgement, Passed
from maas_api.gateway.paths import is_api, listed_provider
from maas_api.identity import headers
from maas_api.identity.headers import Identity
from maas_api.identity.tokens import Refused, TokenSource, User
from maas_api.keys.budget import Budgets
from maas_api.providers import CREDENTIAL_HEADERS
from maas_api.usage.budgets.claims import Payer
from maas_api.usage.budgets.decisions import Decision
from maas_api.validation.verdict import Verdict
from maas_api.wire import Block, Pending, Promise, Reply, Request

_log = logging.getLogger(__name__)

PREFIX = "/internal/v1/authz"
ROUTE_HEADER = "X-MaaS-Route"
"""Where a call at the gateway's root goes: ``external/<provider>`` or ``<namespace>/<name>`` of a model."""
KEY_PREFIX = "sk-oai-"
BUDGET_SECONDS = 0.5
"""How long asking the store for a budget may take, beside the key."""
OK = 200
TOKEN_DEADLINE = 0.9
"""Seconds a token review may take; gateways give up after a second or two."""

REMOVE = b"x-envoy-auth-headers-to-remove"
"""Names, to Envoy, the headers of the request that are not to be passed on."""
_CHALLENGE = (
    ("WWW-Authenticate", 'Bearer realm="maas-api"'),
    # Read by OpenAI's and Anthropic's SDKs. Without it Claude Code repeats a refused call for three minutes.
    ("X-Should-Retry", "false"),
)
_CREDENTIALS = tuple(name.encode() for name in CREDENTIAL_HEADERS)
_AUTHORIZATION = b"authorization"
T = TypeVar("T")
Said = Mapping[bytes, bytes]
"""The first value of each header of the question."""


class KeyCheck(Protocol):
    """Looks an API key up: at once, or by a future that raises when the answer cannot be had."""

    @property
    def deadline(self) -> float: ...
    def check(self, raw_key: str) -> Verdict | Future[Verdict]: ...


class BudgetCheck(Protocol):
    """Whether a call can be paid for: at once, or by a future."""

    def check(self, payer: Payer) -> Decision | Future[Decision]: ...


class Authorizer:
    """Answers the gateway. Never blocks: what must be looked up is answered by a future."""

    def __init__(
        self, keys: KeyCheck, tokens: TokenSource, judgement: Judgement, budgets: BudgetCheck | None = None
    ) -> None:
        """``budgets``: None where keys' budgets are not looked at."""
        self._keys = keys
        self._budgets = budgets
        self._tokens = tokens
        self._judgement = judgement

    def route(self, request: Request) -> Reply | Pending:
        """The answer to one question. In doubt, and when the store or the cluster is silent, the answer is no."""
        if _shows_a_key(request.target):
            return _MISPLACED
        said = request.first_values()
        credential = _credential(said)
        if isinstance(credential, Reply):
            return credential
        if credential.startswith(KEY_PREFIX):
            verdict = self._keys.check(credential)
            deadline = self._keys.deadline + (BUDGET_SECONDS if self._budgets is not None else 0)
            return _settle(verdict, lambda known: self._judge_key(request, said, known, credential), deadline)
        user = self._tokens.lookup(credential)
        return _settle(user, lambda known: self._judge_user(request, said, known, credential), TOKEN_DEADLINE)

    def _judge_key(self, request: Request, said: Said, verdict: Verdict, credential: str) -> Reply | Future[Reply]:
        if not verdict.valid:
            return _denied(f"The API key is not accepted: {verdict.reason}")
        who = Identity(verdict.username, verdict.groups)
        caller = Caller(who, verdict.models, verdict.subscription, True)
        return self._judge(request, said, caller, credential, verdict.key_id, verdict.budgets)

    def _judge_user(self, request: Request, said: Said, user: User, credential: str) -> Reply | Future[Reply]:
        if isinstance(user, Refused):
            return _denied(f"The platform token is not accepted: {user.reason}")
        if user is None:
            return _denied(f"The credential is neither an API key ({KEY_PREFIX}...) nor a known platform token")
        # A platform user may choose among the own subscriptions; whether it is one is decided where it is used.
        wanted = headers.last_subscription(request.header_values(headers.SUBSCRIPTION.lower().encode()))
        return self._judge(request, said, Caller(user, None, wanted, False), credential)

    def _judge(
        self, request: Request, said: Said, caller: Caller, credential: str, key_id: str = "", budgets: Budgets = ()
    ) -> Reply | Future[Reply]:
        path = _original_path(request)
        if is_api(path) or listed_provider(request.method, path):
            return _to_api(caller, credential, budgets)  # what the caller sees there is the API's own matter
        try:
            passed = self._judgement.judge(Call(request.method, path, named.read(said)), caller)
        except ApiError as refusal:
            return refusal.reply()
        allowed, payer = _to_model(caller, key_id, budgets, passed)
        if payer is None or self._budgets is None:
            return allowed
        decided = self._budgets.check(payer)
        if isinstance(decided, Future):
            return _then(decided, lambda known: quota.held(allowed, known))
        return quota.held(allowed, decided)


def _credential(said: Said) -> str | Reply:
    """What the client authenticates with, or the refusal. An API key counts before anything else that it sent."""
    found = [value for name in _CREDENTIALS if name in said and (value := _presented(name, said[name]))]
    if found:
        return next((value for value in found if value.startswith(KEY_PREFIX)), found[0])
    if said.get(_AUTHORIZATION):
        return _denied("The Authorization header must be: Bearer, a space, the API key or platform token")
    return _denied("No credential: send Authorization: Bearer with an API key, or the key as x-api-key")


def _presented(header: bytes, value: bytes) -> str:
    """The credential in a header, empty where there is none."""
    text = value.decode("latin-1").strip()
    if header != _AUTHORIZATION:
        return text
    scheme, _, token = text.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _shows_a_key(target: str) -> bool:
    """Whether a path or a query holds what looks like an API key, however often it is escaped."""
    for _ in range(4):
        if KEY_PREFIX in target.lower():
            return True
        if "%" not in target:
            return False
        target = unquote(target)
    return True  # nobody escapes that often for a good reason


_MISPLACED = named.key_in_request("path or query").reply()


def _original_path(request: Request) -> str:
    return request.path.removeprefix(PREFIX)


def _to_api(caller: Caller, credential: str, budgets: Budgets) -> Reply:
    """The way to maas-api's own endpoints, which are shown the credential as well."""
    # They read one header only; an SDK that sent its key in another one is served as well.
    others = tuple(name for name in CREDENTIAL_HEADERS if name != "authorization")
    allowed = _yes(caller, "", budgets, others)
    if allowed.status != OK:
        return allowed
    return Reply(OK, (*allowed.headers, (b"authorization", f"Bearer {credential}".encode("latin-1"))), b"")


@lru_cache(maxsize=4096)
def _to_model(caller: Caller, key_id: str, budgets: Budgets, passed: Passed) -> tuple[Reply, Payer | None]:
    """The way to a model, which is shown no credential, and whose budgets the call counts against, None for nobody's.
    The same callers call again and again: their answer is put together once."""
    allowed = _yes(caller, passed.route, (), CREDENTIAL_HEADERS)
    if allowed.status != OK:
        return allowed, None
    limited, user = passed.limited, caller.who.username
    more = quota.counted(user, key_id, limited.subscription or caller.subscription, passed.model, passed.provider)
    allowed = Reply(OK, Block.of(allowed.headers + more), b"")
    if not passed.model or not (budgets or limited.limits):
        return allowed, None
    return allowed, Payer(key_id, budgets, user, limited.subscription, passed.model, limited.limits, limited.reference)


def _yes(caller: Caller, route: str, budgets: Budgets, removed: tuple[str, ...]) -> Reply:
    """200 with the whole identity. Each header that tells something is set or removed: none of a client's remains."""
    said = {
        headers.USERNAME: caller.who.username,
        headers.GROUP: json.dumps(caller.who.groups),  # ASCII: anything else is escaped
        headers.SUBSCRIPTION: caller.subscription,
        headers.MODELS: "" if caller.models is None else json.dumps(caller.models),
        headers.BUDGET: ", ".join(map(str, budgets)),
        ROUTE_HEADER: route,
    }
    for name in (headers.USERNAME, headers.SUBSCRIPTION):
        if not _fits_a_header(said[name]):
            return errors.sdk(403, f"{name} cannot pass the gateway: it must be printable ASCII text").reply()
    remove = [*(name.lower() for name, value in said.items() if not value), *removed]
    lines = [(name.lower().encode(), value.encode()) for name, value in said.items() if value]
    return Reply(OK, (*lines, (REMOVE, ",".join(remove).encode())), b"")


def _fits_a_header(value: str) -> bool:
    return value == value.strip() and all(0x20 <= ord(char) < 0x7F for char in value)


def _denied(message: str) -> Reply:
    return errors.sdk(401, message, code="invalid_api_key", headers=_CHALLENGE).reply()


_UNAVAILABLE = errors.sdk(
    503, "The credential could not be checked now; try again", code="unavailable", headers=(("Retry-After", "1"),)
).reply()


def _then(answer: Future[T], finish: Callable[[T], Reply]) -> Future[Reply]:
    """What ``finish`` makes of an answer that is to come."""
    made: Future[Reply] = Future()

    def done(known: Future[T]) -> None:
        try:
            made.set_result(finish(known.result()))
        except Exception as fault:  # whoever waits is told, whatever it is
            made.set_exception(fault)

    answer.add_done_callback(done)
    return made


def _as_it_is(reply: Reply) -> Reply:
    return reply


def _settle(answer: T | Future[T], judge: Callable[[T], Reply | Future[Reply]], deadline: float) -> Reply | Pending:
    """Judge an answer that is there, or promise to."""
    if not isinstance(answer, Future):
        reply = judge(answer)
        return _settle(reply, _as_it_is, deadline) if isinstance(reply, Future) else reply
    promised = Promise()

    def done(known: Future[T]) -> None:
        try:
            reply = judge(known.result())
            if isinstance(reply, Future):
                reply.add_done_callback(last)
                return
        except Exception as fault:  # whatever went wrong, the request does not pass
            _log.warning("a credential could not be checked", extra={"fault": type(fault).__name__})
            reply = _UNAVAILABLE
        promised.settle(reply)

    def last(known: Future[Reply]) -> None:
        try:
            reply = known.result()
        except Exception as fault:  # whatever went wrong, the request does not pass
            _log.warning("a credential could not be checked", extra={"fault": type(fault).__name__})
            reply = _UNAVAILABLE
        promised.settle(reply)

    answer.add_done_callback(done)
    return Pending(promised, deadline, _UNAVAILABLE)
