"""A connection as long as it says nothing, or nothing but questions of the gateway: those are answered here.

Every inference request waits for one of these answers. What a server keeps for the rest of HTTP (a request that comes
in pieces, a body that is streamed, several requests at once, an application that is asked) is made and thrown away with
each connection, and looked at with each request. So a connection stands on the doorstep, which can do one thing: answer
a question that has come whole. With anything else it goes in, to uvicorn's protocol, made then and not before; and when
the next thing to come is a question, it comes out again.

And a connection that says nothing is held, counted, and next to nothing else: a flood of those would have all that a
request needs made and thrown away, a few dozen in one turn of the loop, and whoever asks something waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple, Protocol, cast

from uvicorn.protocols.utils import get_remote_addr
from uvicorn.server import ServerState

from maas_api.edge.connections.limits import PARTING_SECONDS, Limits
from maas_api.edge.connections.questions import Questions
from maas_api.edge.connections.room import Held, Loss, Room, Standing, make_room
from maas_api.edge.shortcut import Call, Shortcut
from maas_api.observability import metrics
from maas_api.wire import Reply


class Inside(Protocol):
    """What reads a connection that has gone in."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """It has come in."""

    def data_received(self, data: bytes) -> None:
        """What it says."""

    def leave(self) -> None:
        """Another reads the connection from now on."""

    def shutdown(self) -> None:
        """The worker stops."""


class House(NamedTuple):
    """What the connections of one worker share.

    ``enter`` makes what reads a connection that goes in, and is given the way out: shown what comes when all that was
    asked is answered, that says whether the connection has come out with it. ``shortcut`` is asked when a connection
    is made; None: questions go in as well.
    """

    state: ServerState
    limits: Limits
    room: Room[Held]
    questions: Questions
    shortcut: Callable[[], Shortcut | None]
    enter: Callable[[Callable[[bytes], bool]], Inside]


class Doorstep(asyncio.Protocol):
    """One connection."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._limits = house.limits
        self._spoken = False
        self._asking = False  # a question of it is being looked up
        self._full = False  # the client does not read what it is sent
        self._behind = b""  # what has come meanwhile
        self._ends = False
        self._gone = False
        self._address: str | None = None  # of its client, where that was needed
        self._timer: asyncio.TimerHandle
        self._inside: Inside | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it in. Over the limit others give way to it, those that would lose the least."""
        self._loop = asyncio.get_running_loop()
        self._room = self._house.room
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not of asyncio's classes
        self._shortcut = self._house.shortcut()
        held, limit = cast(set[Held], self._house.state.connections), self._limits.connections
        if len(held) >= limit:
            make_room(held, self._room, limit - 1)  # before it is one of them: others give way to it
        self._room.unspoken.waits(self)
        if self._stand() > 2 * limit:
            metrics.refusals.labels("connections").inc()
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Answer what it asks, if that is one question; one thing at a time."""
        if self._asking or self._full or self._behind:
            self._behind += data
            self._transport.pause_reading()
            return
        if not self._ask(data):
            self._go_in(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._gone = True
        self._leave()
        metrics.connections.set(len(self._house.state.connections))

    def pause_writing(self) -> None:
        """The client does not read: wait, not for ever, and ask nothing for it meanwhile."""
        self._full = True
        self._cut_off_in(self._limits.write_seconds)

    def resume_writing(self) -> None:
        """It reads again."""
        self._full = False
        if self._write_timer is not None and not self._transport.is_closing():
            self._write_timer.cancel()
        self._go_on()

    def shutdown(self) -> None:
        """The worker stops: the connection ends behind what it has asked. Its first request may still be on its way."""
        self._ends = True
        if self._spoken and not self._asking:
            self.give_way()
        elif not self._spoken:
            self._timer.cancel()
            self._timer = self._loop.call_later(PARTING_SECONDS, self.give_way)

    def standing(self) -> Standing | None:
        """What closing it now would cost its client."""
        if self._full:
            return Standing(Loss.UNFINISHED, self._since)
        if self._asking or self._behind:
            return None
        return Standing(Loss.IDLE if self._spoken else Loss.UNSPOKEN, self._since)

    def give_way(self) -> None:
        """Close it. TLS has its own farewell, for which a client that is idle lets us wait."""
        self._transport.close()
        self._cut_off_in(PARTING_SECONDS)

    def _ask(self, data: bytes) -> bool:
        """Whether this is a question: then it is answered, or its answer looked up."""
        begun = perf_counter()
        if (
            (shortcut := self._shortcut) is None
            or (question := self._house.questions.read(data)) is None
            or (way := shortcut.way(question.method, question.target)) is None
        ):
            return False
        if self._inside is not None:
            self._come_out(self._inside)
        elif not self._spoken:
            self._spoken = True
            self._room.unspoken.spoke(self)
        answer = shortcut.answer(way, question.headers, question.body)
        call = Call(way, question.headers, begun, self._client)
        if isinstance(answer, Reply):
            self._give(shortcut, call, answer, keep_alive=question.keep_alive)
        else:
            self._asking = True
            shortcut.later(answer, way, partial(self._arrived, shortcut, call, keep_alive=question.keep_alive))
        return True

    def _give(self, shortcut: Shortcut, call: Call, reply: Reply, *, keep_alive: bool) -> None:
        close = self._ends or not keep_alive or shortcut.draining()
        self._transport.write(shortcut.encode(reply, call, self._house.state.default_headers, close=close))
        if close:
            self._transport.close()
        else:
            self._since = self._loop.time()

    def _arrived(self, shortcut: Shortcut, call: Call, reply: Reply, *, keep_alive: bool) -> None:
        """What was looked up is there. The client may be gone."""
        self._asking = False
        if not self._gone and not self._transport.is_closing():
            self._give(shortcut, call, reply, keep_alive=keep_alive)
            self._go_on()

    def _go_on(self) -> None:
        """With what has come meanwhile, when it is its turn."""
        if self._may_go_on():
            self._room.turns.take(self._loop, self._next)

    def _may_go_on(self) -> bool:
        held_up = self._asking or self._full or self._gone or self._transport.is_closing()
        return self._behind != b"" and not held_up

    def _next(self) -> None:
        if not self._may_go_on():  # it has gone on already, or something else has come between
            return
        data, self._behind = self._behind, b""
        self._transport.resume_reading()
        self.data_received(data)

    def _go_in(self, data: bytes) -> None:
        """From now on another reads it."""
        self._leave()
        inside = self._inside = self._house.enter(self._ask)
        self._transport.set_protocol(cast(asyncio.BaseProtocol, inside))
        inside.connection_made(self._transport)
        inside.data_received(data)
        if self._ends:
            inside.shutdown()

    def _come_out(self, inside: Inside) -> None:
        """All that it asked inside is answered, and what comes next is answered out here."""
        self._inside = None
        inside.leave()
        self._transport.set_protocol(self)
        self._spoken = True
        self._stand()

    def _stand(self) -> int:
        """Be one of the connections; how many they are."""
        held = cast(set[Any], self._house.state.connections)
        held.add(self)
        count = len(held)
        metrics.connections.set(count)
        self._since = self._loop.time()
        self._timer = self._loop.call_later(self._limits.idle_seconds, self._look_whether_idle)
        return count

    def _leave(self) -> None:
        cast(set[Any], self._house.state.connections).discard(self)
        if not self._spoken:
            self._room.unspoken.spoke(self)
        self._timer.cancel()
        if self._write_timer is not None:
            self._write_timer.cancel()

    def _look_whether_idle(self) -> None:
        """One timer a connection, which looks when it is due how long there has been nothing."""
        waits = self._limits.idle_seconds
        left = waits if self._asking or self._behind else self._since + waits - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._look_whether_idle)
        elif self._spoken:
            self._transport.close()
            if not self._full:
                self._cut_off_in(self._limits.write_seconds)
        else:
            self._transport.abort()

    def _cut_off_in(self, seconds: float) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
        self._write_timer = self._loop.call_later(seconds, self._transport.abort)

    def _client(self) -> str:
        """The client's address, for a line of the log."""
        if self._address is None:
            address = get_remote_addr(self._transport)
            self._address = address[0] if address else ""
        return self._address
