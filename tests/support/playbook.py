"""Conversations with the HTTP edge, written as a protocol is read: what arrives, what goes out, in order.

::

    playbook().receives(b"GET /hea").passes(2).sends(408, "request headers took longer than 2 s").half_closes() ...

The protocol and its shortcut are the real ones, the connection is in memory, and the clock moves when told. The
application is one more party of the conversation: it is asked, and the playbook says what it answers. All that goes
out must be told at its very moment, before the next thing arrives: an answer too many fails like one that is missing.
What no client could do, a playbook cannot say. The habit is mitmproxy's.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from maas_api.edge.connections.doorstep import Doorstep, House
from maas_api.edge.connections.limits import Limits
from maas_api.edge.connections.protocol import BoundedProtocol
from maas_api.edge.connections.questions import Questions
from maas_api.edge.connections.room import room_of
from maas_api.edge.guard import InternalGuard
from maas_api.edge.mailbox import Mailbox
from maas_api.edge.shortcut import PATH, Shortcut
from maas_api.observability.requests import Recorder
from maas_api.wire import JSON, Reply, RouteTable
from tests.support.asked import Asked
from tests.support.clockwork import Clockwork
from tests.support.transcript import Conversation, shown, shown_answer
from tests.support.wire import Wire

AUTHORIZER = "/internal/v1/authz"
DATE = "Thu, 01 Jan 1970 00:00:00 GMT"
_LONG = 3600.0
_NOSNIFF = ((b"x-content-type-options", b"nosniff"),)
_ENDS = ("closes", "aborts", "stays open", "the client leaves", "the client vanishes")


class Playbook:
    """One server. Called, it accepts a connection; ``end`` holds each of them to what was told."""

    def __init__(self, limits: Limits, secret: bytes = b"") -> None:
        self.loop, self.limits, self.guard = Clockwork(), limits, InternalGuard(*filter(None, (secret,)))
        self.draining = False
        self.told: list[str] = []
        self._connections: list[Connection] = []
        keep_alive = int(limits.idle_seconds)
        config = uvicorn.Config(
            self._application,
            interface="asgi3",
            log_config=None,
            ws="none",
            proxy_headers=False,
            timeout_keep_alive=keep_alive,
        )
        config.load()
        state = ServerState()
        state.default_headers = [(b"date", DATE.encode())]
        uvicorns: dict[str, Any] = {"config": config, "app_state": {}, "_loop": self.loop}
        inside = partial(BoundedProtocol, limits=limits, server_state=state, **uvicorns)
        self.house = House(state, limits, room_of(self.loop), Questions(limits.header_bytes), lambda: None, inside)

    def __call__(self, *, tls: bool = False, known: Reply | None = None) -> Connection:
        """A new connection. ``known``: what its validations are answered with at once, instead of being looked up."""
        self._connections.append(Connection(self, len(self._connections) + 1, tls=tls, known=known))
        return self._connections[-1].connects()

    def end(self) -> None:
        """Raises AssertionError where more has happened than was told, or does in the hour to come."""
        try:
            for connection in self._connections:
                connection.ends()
            self.loop.run(seconds=_LONG)
            for connection in self._connections:
                connection.ended()
        finally:
            self.loop.end()

    async def _application(self, scope: Any, receive: Any, send: Any) -> None:
        await self._connections[scope["client"][1] - 1].asked.application(scope, receive, send)


class Connection:
    """One client's conversation. Each method is a line of it, and gives the connection for the next one."""

    def __init__(self, playbook: Playbook, number: int, *, tls: bool, known: Reply | None) -> None:
        self._talk = Conversation(playbook.loop, playbook.told, f"#{number}")
        self._wire = Wire(playbook.loop, self._talk.wrote, self._talk.happens, port=number, tls=tls)
        self.asked = Asked(self._talk, known)

        def shortcut() -> Shortcut:
            routes = RouteTable()
            routes.add("POST", PATH, self.asked.lookup)
            routes.add_prefix(AUTHORIZER, self.asked.judgement)
            guarded = (routes, playbook.guard, Recorder({}, 0.0), Mailbox(clock=playbook.loop.time))
            return Shortcut(*guarded, _NOSNIFF, lambda: playbook.draining)

        self._protocol = Doorstep(playbook.house._replace(shortcut=shortcut))

    # What arrives.

    def connects(self) -> Connection:
        """A client opens a connection."""
        return self._arrives("connects", self._wire.connect, self._protocol)

    def receives(self, data: bytes) -> Connection:
        """The client's bytes, in one piece."""
        return self._arrives(f"receives {shown(data)}", self._wire.feed, data)

    def passes(self, seconds: float) -> Connection:
        """Time, in which nothing arrives, and nothing goes out before its end."""
        return self._arrives(f"{seconds:g} s pass", seconds=seconds)

    def answers(self, status: int, body: bytes = b"") -> Connection:
        """The application, or the lookup, answers the oldest question that is open."""
        return self._arrives(f"is answered {status} {shown(body)}", self.asked.answer, Reply(status, (JSON,), body))

    def client_stops_reading(self) -> Connection:
        """What is sent stays in the server's buffer, and that is full."""
        return self._arrives("the client stops reading", self._wire.block)

    def client_reads_on(self) -> Connection:
        """It has read all of it."""
        return self._arrives("the client reads on", self._wire.unblock)

    def client_leaves(self) -> Connection:
        """It closes its side."""
        return self._arrives("the client leaves", self._wire.eof)

    def client_vanishes(self) -> Connection:
        """The connection is reset."""
        return self._arrives("the client vanishes", self._wire.reset)

    def server_stops(self) -> Connection:
        """The worker is told to end."""
        return self._arrives("the server stops", self._wire.reader.shutdown)

    # What goes out. A line that is not what happened raises AssertionError with the whole conversation.

    def asks(self, request: str, body: bytes = b"") -> Connection:
        """The application has got a whole request, such as ``GET /health``."""
        return self._goes_out("asks", f"{request} {shown(body)}")

    def gives_up(self, request: str) -> Connection:
        """The application learns that the rest of a request will not come."""
        return self._goes_out("gives up", request)

    def validates(self, body: bytes) -> Connection:
        """The shortcut looks a key up; the application is not asked."""
        return self._goes_out("validates", shown(body))

    def judges(self, request: str) -> Connection:
        """The shortcut has the authorizer look at a call, such as ``GET /v1/models``; the application is not asked."""
        return self._goes_out("judges", request)

    def sends(self, status: int, body: bytes | str = b"", /, **headers: str | None) -> Connection:
        """A whole answer: a ``str`` is an error's message; of the headers those named, None for one that is absent."""
        content = json.dumps({"error": body}, separators=(",", ":")).encode() if isinstance(body, str) else body
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._goes_out("sends", shown_answer(status, named, content), named)

    def half_closes(self) -> Connection:
        """Nothing more is said; the client is heard out."""
        return self._goes_out("half-closes")

    def closes(self) -> Connection:
        """The connection ends behind what was sent."""
        return self._goes_out("closes")

    def aborts(self) -> Connection:
        """The connection ends, whatever was sent."""
        return self._goes_out("aborts")

    def stays_open(self) -> Connection:
        """Nothing more goes out now. What later comes of an idle connection is another playbook's."""
        self._talk.nothing_but("stays open")
        assert not self._wire.is_closing(), self._talk.report("stays open", "is closing")
        self._talk.tell("<", "stays open")
        return self

    def ends(self) -> None:
        """The playbook's last line has been read."""
        if not self._talk.parted:  # else it has failed already
            self._talk.nothing_but("(the end)")
            assert self._talk.last in _ENDS, self._talk.report(f"one of: {', '.join(_ENDS)}", "the playbook breaks off")

    def ended(self) -> None:
        """Long after."""
        if self._talk.last != "stays open" and not self._talk.parted:
            self._talk.nothing_but("(nothing more)")

    def _arrives(
        self, line: str, act: Callable[..., object] | None = None, *what: Any, seconds: float = 0
    ) -> Connection:
        __tracebackhide__ = True
        self._talk.arrives(line, act, *what, seconds=seconds)
        return self

    def _goes_out(self, kind: str, what: str = "", named: Any = None) -> Connection:
        __tracebackhide__ = True
        self._talk.goes_out(kind, what, named)
        return self
