"""Who is asked for answers: the application and the lookup of keys, as one party that answers when a test says so."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from maas_api.wire import JSON, Pending, Promise, Reply, Request
from tests.support.transcript import Conversation, shown

LOOKUP_SECONDS = 0.1
"""How long looking a key up may take; then the answer is ``LATE``."""
LATE = Reply(503, (JSON,), b"")


class Asked:
    """What one connection's requests are answered with. ``known``: the answer to validations, where it is known."""

    def __init__(self, talk: Conversation, known: Reply | None) -> None:
        self._talk, self._known = talk, known
        self._open: deque[Callable[[Reply], object]] = deque()

    def answer(self, reply: Reply) -> None:
        """Answer the oldest question that is open."""
        assert self._open, "impossible: nothing was asked"
        self._open.popleft()(reply)

    async def application(self, scope: Any, receive: Any, send: Any) -> None:
        """Reads a request whole, as the real one does, before it counts as asked."""
        query = f"?{scope['query_string'].decode()}" if scope["query_string"] else ""
        line, body, more = f"{scope['method']} {scope['path']}{query}", b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self._talk.happens("gives up", line)
                return
            body, more = body + message.get("body", b""), message.get("more_body", False)
        promised: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._open.append(promised.set_result)
        self._talk.happens("asks", f"{line} {shown(body)}")
        reply = await promised
        headers = [*reply.headers, (b"content-length", b"%d" % len(reply.body))]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})

    def lookup(self, request: Request) -> Reply | Pending:
        """The callback behind the shortcut."""
        self._talk.happens("validates", shown(request.body))
        return self._looked_up()

    def judgement(self, request: Request) -> Reply | Pending:
        """The authorizer behind the shortcut."""
        self._talk.happens("judges", f"{request.method} {request.target}")
        return self._looked_up()

    def _looked_up(self) -> Reply | Pending:
        if self._known is not None:
            return self._known
        promise = Promise()
        self._open.append(promise.settle)
        return Pending(promise, LOOKUP_SECONDS, LATE)
