"""The real application over a real socket, in this process: uvicorn in a thread, as the worker runs it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from maas_api.app import Service
from maas_api.asgi import Entry
from maas_api.edge.connections.doorstep import Doorstep, House
from maas_api.edge.connections.protocol import BoundedProtocol
from maas_api.edge.connections.questions import Questions
from maas_api.edge.connections.room import room_of
from maas_api.worker import limits
from tests.support.wait import until


@contextmanager
def serving(service: Service) -> Iterator[str]:
    """Serve on a free loopback port; yields the base URL and stops everything afterwards."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    entry = Entry(service)
    bounds = limits(service.settings)

    def connection(*, server_state: ServerState, **uvicorns: Any) -> Doorstep:
        inside = partial(BoundedProtocol, limits=bounds, server_state=server_state, **uvicorns)
        questions = Questions(bounds.header_bytes)
        room = room_of(asyncio.get_running_loop())
        return Doorstep(House(server_state, bounds, room, questions, lambda: entry.shortcut, inside))

    config = uvicorn.Config(entry, loop="uvloop", lifespan="on", ws="none", log_config=None, server_header=False)
    config.http = connection  # type: ignore[assignment]  # uvicorn calls it, whatever it is
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="serving", daemon=True)
    thread.start()
    try:
        until(lambda: server.started or not thread.is_alive(), what="the server started", seconds=30)
        assert thread.is_alive(), "the server ended while starting"
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
    assert not thread.is_alive(), "the server did not stop"
