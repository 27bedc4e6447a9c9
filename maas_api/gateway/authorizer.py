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
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from typing import Protocol, TypeVar
from urllib.parse import unquote

from maas_api import errors
from maas_api.access.allowlist import permits
from maas_api.access.requested import NotJudgeable, model_in_body, requested_model
from maas_api.gateway.lane import Busy
from maas_api.identity import headers
from maas_api.identity.headers import Identity
from maas_api.identity.tokens import TokenSource
from maas_api.providers import CREDENTIAL_HEADERS, PATH_ROOT, entry_for
from maas_api.validation.verdict import Verdict
from maas_api.wire import Pending, Promise, Reply, Request

_log = logging.getLogger(__name__)

PREFIX = "/internal/v1/authz"
API_ROOTS = ("/v1/", "/maas-api/")
"""Where maas-api itself answers; everything else leads to a model."""
KEY_PREFIX = "sk-oai-"
TOKEN_DEADLINE = 0.9
"""Seconds a token review may take; gateways give up after a second or two."""

READ_AT_ONCE_BYTES = 4096
"""A body of a limited key's request up to this length is parsed in the event loop, at a millisecond at most."""
BODY_DEADLINE = 1.5
"""Seconds a longer one may wait for its turn."""

_PARTIAL = b"x-envoy-auth-partial-body"
REMOVE = b"x-envoy-auth-headers-to-remove"
"""Names, to Envoy, the headers of the request that are not to be passed on."""
_RUN_NOTHING = ("GET", "HEAD")
"""Methods by which model servers tell about themselves; they run a model on POST alone."""
_CHALLENGE = (("WWW-Authenticate", 'Bearer realm="maas-api"'),)
T = TypeVar("T")
_IDENTITY = (headers.USERNAME, headers.GROUP, headers.SUBSCRIPTION, headers.MODELS)


class BodyLane(Protocol):
    """Does work off the event loop, in its owner's turn. Raises Busy."""

    def submit(self, owner: str, work: Callable[[], Reply]) -> Future[Reply]: ...


class KeyCheck(Protocol):
    """Looks an API key up: at once, or by a future that raises when the answer cannot be had."""

    @property
    def deadline(self) -> float: ...
    def check(self, raw_key: str) -> Verdict | Future[Verdict]: ...


LocalModels = Callable[[str], Collection[str]]
"""Path at the gateway -> every id that the model behind it goes by; empty where no model's route is."""


class Authorizer:
    """Answers the gateway. Never blocks: what must be looked up is answered by a future."""

    def __init__(self, keys: KeyCheck, tokens: TokenSource, models: LocalModels, lane: BodyLane) -> None:
        self._keys = keys
        self._lane = lane
        self._tokens = tokens
        self._models = models

    def route(self, request: Request) -> Reply | Pending:
        """The answer to one question. In doubt, and when the store or the cluster is silent, the answer is no."""
        if _shows_a_key(request.target):
            return _misplaced("path or query")
        credential = _credential(request)
        if isinstance(credential, Reply):
            return credential
        if request.body and credential.encode("latin-1") in request.body:
            return _misplaced("body")
        if credential.startswith(KEY_PREFIX):
            verdict = self._keys.check(credential)
            deadline = self._keys.deadline if len(request.body) <= READ_AT_ONCE_BYTES else BODY_DEADLINE
            return _settle(verdict, lambda known: self._judge_key(request, known, credential), deadline)
        user = self._tokens.lookup(credential)
        return _settle(user, lambda known: self._judge_user(request, known, credential), TOKEN_DEADLINE)

    def _judge_key(self, request: Request, verdict: Verdict, credential: str) -> Reply | Future[Reply]:
        if not verdict.valid:
            return _denied(f"The API key is not accepted: {verdict.reason}")
        if verdict.models is None or len(request.body) <= READ_AT_ONCE_BYTES:
            return self._judge_body(request, verdict, credential)
        try:
            return self._lane.submit(verdict.key_id, lambda: self._judge_body(request, verdict, credential))
        except Busy:
            return _BUSY

    def _judge_body(self, request: Request, verdict: Verdict, credential: str) -> Reply:
        """A valid key's request. With an allow-list the body may have to be parsed, which takes time."""
        if verdict.models is not None:
            refused = self._outside_allow_list(request, verdict.models)
            if refused is not None:
                return refused
        return _allowed(
            request,
            Identity(verdict.username, verdict.groups),
            verdict.subscription,
            verdict.models,
            credential,
        )

    def _judge_user(self, request: Request, user: Identity | None, credential: str) -> Reply:
        if user is None:
            return _denied(f"The credential is neither an API key ({KEY_PREFIX}...) nor a known platform token")
        # A platform user may choose among the own subscriptions; whether it is one is decided where it is used.
        wanted = headers.last_subscription(request.header_values(headers.SUBSCRIPTION.lower().encode()))
        return _allowed(request, user, wanted, None, credential)

    def _outside_allow_list(self, request: Request, allowed: Sequence[str]) -> Reply | None:
        path = _original_path(request)
        if _is_api(path):
            return None  # what a limited key sees of the listing is the listing's matter
        partial = request.header(_PARTIAL) == "true"
        try:
            if path.startswith(PATH_ROOT):
                name, _, rest = path.removeprefix(PATH_ROOT).partition("/")
                model = requested_model(entry_for(name), request.method, rest, request.body, partial=partial)
            else:
                names = self._models(path)
                if not permits(allowed, names):
                    return _not_allowed(path)
                if request.method in _RUN_NOTHING or all(permits(allowed, (name,)) for name in names):
                    return None
                model = model_in_body(request.body, partial=partial)  # one server, several models: LoRA adapters
        except NotJudgeable as fault:
            return errors.sdk(413 if fault.too_large else 403, str(fault), code="model_not_allowed").reply()
        return None if permits(allowed, (model,)) else _not_allowed(model)


def _credential(request: Request) -> str | Reply:
    """What the client authenticates with, or the refusal. An API key counts before anything else that it sent."""
    found = [value for name in CREDENTIAL_HEADERS if (value := _presented(request, name))]
    if found:
        return next((value for value in found if value.startswith(KEY_PREFIX)), found[0])
    if request.header(b"authorization"):
        return _denied("The Authorization header must be: Bearer, a space, the API key or platform token")
    return _denied("No credential: send Authorization: Bearer with an API key, or the key as x-api-key")


def _presented(request: Request, header: str) -> str:
    """The credential in a header, empty where there is none."""
    value = (request.header(header.encode()) or "").strip()
    if header != "authorization":
        return value
    scheme, _, token = value.partition(" ")
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


def _misplaced(where: str) -> Reply:
    """A key must not go on to a model's server, nor into the logs on the way."""
    message = f"An API key stands in the request's {where}: send it as Authorization: Bearer or x-api-key, only there"
    return errors.sdk(400, message, code="key_in_request").reply()


def _original_path(request: Request) -> str:
    return request.path.removeprefix(PREFIX)


def _is_api(path: str) -> bool:
    return path.startswith(API_ROOTS)


def _allowed(
    request: Request, who: Identity, subscription: str, models: tuple[str, ...] | None, credential: str
) -> Reply:
    """200 with the whole identity: every identity header is either set or removed, so none of a client's remains."""
    identity = {
        headers.USERNAME: who.username,
        headers.GROUP: json.dumps(who.groups),  # ASCII: anything else is escaped
        headers.SUBSCRIPTION: subscription,
        headers.MODELS: "" if models is None else json.dumps(models),
    }
    for name in (headers.USERNAME, headers.SUBSCRIPTION):
        if not _fits_a_header(identity[name]):
            return errors.sdk(403, f"{name} cannot pass the gateway: it must be printable ASCII text").reply()
    remove = [name.lower() for name in _IDENTITY if not identity[name]]
    lines = [(name.lower().encode(), value.encode()) for name, value in identity.items() if value]
    if not _is_api(_original_path(request)):
        remove += CREDENTIAL_HEADERS
    else:
        # The API reads one header only; an SDK that sent its key in another one is served as well.
        lines.append((b"authorization", f"Bearer {credential}".encode("latin-1")))
        remove += [name for name in CREDENTIAL_HEADERS if name != "authorization"]
    return Reply(200, (*lines, (REMOVE, ",".join(remove).encode())), b"")


def _fits_a_header(value: str) -> bool:
    return value == value.strip() and all(0x20 <= ord(char) < 0x7F for char in value)


def _denied(message: str) -> Reply:
    return errors.sdk(401, message, code="invalid_api_key", headers=_CHALLENGE).reply()


def _not_allowed(what: str) -> Reply:
    return errors.sdk(403, f"this API key is limited to certain models, not {what!r}", code="model_not_allowed").reply()


_UNAVAILABLE = errors.sdk(
    503, "The credential could not be checked now; try again", code="unavailable", headers=(("Retry-After", "1"),)
).reply()


_BUSY = errors.sdk(
    503, "Too many large requests of this API key at once; try again", code="busy", headers=(("Retry-After", "1"),)
).reply()


def _settle(answer: T | Future[T], judge: Callable[[T], Reply | Future[Reply]], deadline: float) -> Reply | Pending:
    """Judge an answer that is there, or promise to."""
    if not isinstance(answer, Future):
        judged = judge(answer)
        if not isinstance(judged, Future):
            return judged
        promised = Promise()
        judged.add_done_callback(lambda known: _keep(promised, known))
        return Pending(promised, deadline, _UNAVAILABLE)
    promised = Promise()

    def done(known: Future[T]) -> None:
        try:
            judged = judge(known.result())
        except Exception as fault:  # whatever went wrong, the request does not pass
            promised.settle(_unknown(fault))
            return
        if isinstance(judged, Future):
            judged.add_done_callback(lambda later: _keep(promised, later))
        else:
            promised.settle(judged)

    answer.add_done_callback(done)
    return Pending(promised, deadline, _UNAVAILABLE)


def _keep(promised: Promise, judged: Future[Reply]) -> None:
    fault = judged.exception()
    promised.settle(judged.result() if fault is None else _unknown(fault))


def _unknown(fault: BaseException) -> Reply:
    _log.warning("a credential could not be checked", extra={"fault": type(fault).__name__})
    return _UNAVAILABLE
