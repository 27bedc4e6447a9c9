"""What the service is measured against: the ceiling of its own server, and Flask by itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]


async def nothing(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Reads the request, answers a constant of a verdict's size. No server can answer anything faster."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    while (await receive()).get("more_body", False):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"200")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b" " * 200})


def flask_alone() -> Any:
    """The same service as a plain Flask application: the hot path as a view, its parts started in the worker."""
    import os

    from maas_api.app import build
    from maas_api.config import load

    service = build(load({}, os.environ))
    service.start()
    return service.flask


def idle() -> Any:
    """Flask with one view that does nothing."""
    from flask import Flask

    app = Flask("idle")
    app.add_url_rule("/", view_func=lambda: "")
    return app
