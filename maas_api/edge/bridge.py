"""Runs the Flask app for one whole request: WSGI called once, in a worker thread, with everything already in memory.

The ASGI entry has read the body (bounded) before, so a slow client holds no thread, and the answer is complete when
it comes back, so nothing is handed between threads piecemeal.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from maas_api.wire import ROUTE_KEY, Found, Pending, Reply, Request

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def environ(request: Request, *, scheme: str = "http", client: str = "") -> dict[str, Any]:
    """The WSGI environment (PEP 3333) of a request whose header names hold no underscore."""
    raw_target = request.target.encode("latin-1", "replace").decode("latin-1")
    result: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": request.path.encode("utf-8", "surrogateescape").decode("latin-1"),
        "QUERY_STRING": raw_target.partition("?")[2],
        "RAW_URI": raw_target,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "0",
        "REMOTE_ADDR": client,
        "CONTENT_LENGTH": str(len(request.body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, text in request.joined().items():
        if name == b"content-type":
            result["CONTENT_TYPE"] = text
        elif name not in (b"content-length", b"transfer-encoding"):
            result["HTTP_" + name.decode("latin-1").upper().replace("-", "_")] = text
    return result


class Called(NamedTuple):
    """The app's whole answer, and the template of the route that gave it (``""``: no route did)."""

    reply: Reply
    route: str


def straight(found: Found, request: Request) -> Called:
    """The answer of a route that waits, in this thread and without the app."""
    answer = found.route(request)
    if isinstance(answer, Pending):
        answer = answer.settled()
    return Called(answer, found.label)


def call(app: WSGIApplication, request: Request, *, scheme: str = "http", client: str = "") -> Called:
    """Run the app once."""
    env = environ(request, scheme=scheme, client=client)
    started: list[tuple[str, list[tuple[str, str]]]] = []
    written: list[bytes] = []

    def start_response(status: str, headers: list[tuple[str, str]], _exc_info: Any = None, /) -> Any:
        started.append((status, headers))
        return written.append

    chunks: Iterable[bytes] = app(env, start_response)
    try:
        written.extend(chunks)
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()
    status, headers = started[-1]
    lines = tuple(
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in headers
        if name.lower() != "content-length"
    )
    return Called(Reply(int(status[:3]), lines, b"".join(written)), env.get(ROUTE_KEY, ""))
