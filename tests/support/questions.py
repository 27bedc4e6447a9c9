"""Conversations of the gateway with the authorizer, in the manner of tests.support.playbook.

::

    gateway().asks("GET /v1/models", authorization="Bearer a-token").reviews("a-token").learns(BOB).allows("bob", ...)

The authorizer is the real one, over a catalog of a few models; who knows keys and tokens are parties that it asks, and
that answer when the playbook says so.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from maas_api.edge.mailbox import Mailbox
from maas_api.gateway.authorizer import PREFIX, Authorizer
from maas_api.gateway.judgement import Judgement
from maas_api.identity.headers import Identity
from maas_api.validation.verdict import Verdict, accepted
from maas_api.wire import Pending, Reply, Request
from tests.support.callables import calls, external, local
from tests.support.clockwork import Clockwork
from tests.support.transcript import Conversation

LOOKUP_SECONDS = 0.25
"""How long looking a key up may take."""
MODELS = calls(local("facebook/opt", "opt", aliases=("opt",)), external("gpt-4o"))
"""What there is to call."""
IDENTITY = ("x-maas-username", "x-maas-group", "x-maas-subscription", "x-maas-models", "x-maas-route")
CREDENTIALS = ("authorization", "x-api-key", "api-key")
_REMOVE = "x-envoy-auth-headers-to-remove"
_TYPES = {401: "authentication_error", 403: "permission_error", 503: "server_error"}
_HEADERS = {401: {"www-authenticate": 'Bearer realm="maas-api"', "x-should-retry": "false"}, 503: {"retry-after": "1"}}
_ASKED: Any = object()


def valid(
    username: str = "alice",
    groups: Sequence[str] = ("staff",),
    subscription: str = "gold",
    models: tuple[str, ...] | None = None,
) -> Verdict:
    """A good key's verdict."""
    who = {"username": username, "groups": tuple(groups), "subscription": subscription, "models": models}
    return accepted(key_id="key-1", key_name="name", tenant="t", expires_at=None, **who)  # type: ignore[arg-type]


class Gateway:
    """One authorizer. Called, it hears of one more request; ``end`` holds each conversation to what was told."""

    def __init__(self) -> None:
        self.loop, self.told = Clockwork(), list[str]()
        self._questions: list[Question] = []

    def __call__(self, *, remembered: Verdict | Identity | None = _ASKED) -> Question:
        """``remembered``: what is known of the credential, at once."""
        self._questions.append(Question(self, len(self._questions) + 1, remembered))
        return self._questions[-1]

    def end(self) -> None:
        """Raises AssertionError where something was not told, or a question has no answer."""
        try:
            for question in self._questions:
                question.ends()
        finally:
            self.loop.end()


class Question:
    """What is said about one request."""

    def __init__(self, gateway: Gateway, number: int, remembered: Any) -> None:
        self._talk = Conversation(gateway.loop, gateway.told, f"?{number}")
        self._loop, self._remembered = gateway.loop, remembered
        self._open: deque[Future[Any]] = deque()
        self._answered, self._credential = False, ""
        self.deadline = LOOKUP_SECONDS
        # As a KeyCheck and a TokenSource it is its own other parties.
        self._authorizer = Authorizer(self, self, Judgement(MODELS))

    # What arrives.

    def asks(self, line: str, /, **headers: str) -> Question:
        """The gateway asks about a request, such as ``GET /v1/models``, with its headers.

        Unless they say otherwise, its filter found in the body of a POST a model that is there to call.
        """
        method, _, path = line.partition(" ")
        if method == "POST":
            headers = {"x_gateway_model_name": "gpt-4o" if "/openai/" in path else "facebook/opt", **headers}
        lines = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
        request = Request(method, PREFIX + path, PREFIX + path, lines, b"")
        named = "".join(f" {name.decode()}: {value.decode('latin-1')!r}" for name, value in lines)
        return self._arrives(f"asks {line}{named}", self._route, request)

    def learns(self, known: Verdict | Identity | Exception | None) -> Question:
        """Who was asked about the credential answers, or fails."""
        assert self._open, self._talk.report("learns", "nobody was asked")
        future = self._open.popleft()
        act = future.set_exception if isinstance(known, Exception) else future.set_result
        return self._arrives(f"learns {_known(known)}", act, known)

    def passes(self, seconds: float) -> Question:
        """Time, in which nothing is answered before its end."""
        return self._arrives(f"{seconds:g} s pass", seconds=seconds)

    # What goes out.

    def looks_up(self, key: str) -> Question:
        """The key is asked for where keys are known."""
        return self._goes_out("looks up", key)

    def reviews(self, token: str) -> Question:
        """The token is asked for where platform users are known."""
        return self._goes_out("reviews", token)

    def allows(
        self,
        username: str = "alice",
        groups: Sequence[str] = ("staff",),
        subscription: str = "gold",
        models: Sequence[str] | None = None,
        *,
        bearer: str = "",
        route: str = "",
    ) -> Question:
        """The request passes with this identity; ``bearer`` is the credential that is passed on, "" for none.
        ``route``: where a call at the root goes.

        Told of every header of the identity and every one of credentials: what it is set to, or that it is removed.
        """
        identity = (username, json.dumps(groups), subscription, "" if models is None else json.dumps(models), route)
        becomes = dict(zip(IDENTITY, identity, strict=True)) | {"authorization": bearer and f"Bearer {bearer}"}
        return self._goes_out("allows", _line(lambda name: becomes.get(name) or "removed"))

    def refuses(self, status: int, code: str | None, message: str) -> Question:
        """The request ends here, with an error as both SDKs read it, and the headers that belong to its status."""
        return self._goes_out("refuses", _refusal(status, _TYPES[status], code, _HEADERS.get(status, {}), message))

    # How they come to be.

    def ends(self) -> None:
        """The last line has been read."""
        if not self._talk.parted:
            self._talk.nothing_but("(the end)")
            assert self._answered, self._talk.report("allows or refuses", "the playbook breaks off")

    def check(self, raw_key: str) -> Verdict | Future[Verdict]:
        """A KeyCheck's."""
        return self._ask("looks up", raw_key)

    def lookup(self, token: str) -> Identity | Future[Identity | None] | None:
        """A TokenSource's."""
        return self._ask("reviews", token)

    def _ask(self, who: str, credential: str) -> Any:
        self._credential = credential
        self._talk.happens(who, credential)
        if self._remembered is not _ASKED:
            return self._remembered
        self._open.append(Future())
        return self._open[-1]

    def _route(self, request: Request) -> None:
        answer = self._authorizer.route(request)
        if isinstance(answer, Pending):
            Mailbox().when(answer, self._answer)
        else:
            self._answer(answer)

    def _answer(self, reply: Reply) -> None:
        self._answered = True
        found = [(name.decode(), value.decode("ascii")) for name, value in reply.headers]
        headers = dict(found)
        assert len(headers) == len(found), f"a header is set twice: {found}"
        if reply.status == 200:
            assert reply.body == b"", "the client's answer is the upstream's"
            shown_to = {name for name, value in headers.items() if self._credential in value}
            assert shown_to <= {"authorization"}, f"the credential is in {shown_to}"
            removed = headers[_REMOVE].split(",")
            both = set(removed) & set(headers)
            assert not both, f"set and removed: {both}"
            gone = dict.fromkeys(removed, "removed")
            self._talk.happens(
                "allows", _line(lambda name: headers.get(name) or gone.get(name, "AS THE CLIENT SENT IT"))
            )
            return
        error = json.loads(reply.body)["error"]
        headers.pop("content-type")
        self._talk.happens("refuses", _refusal(reply.status, error["type"], error["code"], headers, error["message"]))

    def _arrives(self, line: str, act: Callable[..., object] | None = None, *what: Any, seconds: float = 0) -> Question:
        __tracebackhide__ = True
        self._talk.arrives(line, act, *what, seconds=seconds)
        return self

    def _goes_out(self, kind: str, what: str) -> Question:
        __tracebackhide__ = True
        self._talk.goes_out(kind, what)
        return self


def _line(becomes: Callable[[str], str]) -> str:
    return " | ".join(f"{name}: {becomes(name)}" for name in (*IDENTITY, *CREDENTIALS))


def _known(known: Verdict | Identity | Exception | None) -> str:
    if not isinstance(known, Verdict):
        return repr(known)
    return (
        f"of {known.username}'s key for {'all models' if known.models is None else known.models}"
        if known.valid
        else f"{known.reason!r}"
    )


def _refusal(status: int, kind: str, code: str | None, headers: Mapping[str, str], message: str) -> str:
    lines = (f"{name}: {value}" for name, value in sorted(headers.items()))
    return " | ".join((f"{status} {kind} {code}", *lines, repr(message)))
