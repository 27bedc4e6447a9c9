"""The Flask app: everything that is not the hot path, and the hot path too where no ASGI entry is in front.

Flask's own HTML errors, HEAD, OPTIONS and redirects are replaced by what the wire contract says.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable

from flask import Blueprint, Flask, Response, current_app, redirect, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge
from werkzeug.routing import RequestRedirect
from werkzeug.wrappers import Response as BaseResponse

from maas_api.edge import guard
from maas_api.errors import ApiError, plain
from maas_api.wire import ROUTE_KEY, FastRoute, Pending, RawHeaders, Reply, Request, RouteTable

_log = logging.getLogger(__name__)
NO_CONTENT = Reply(204, (), b"")
"""The answer to OPTIONS on any path, as the Go service gives it: no body, so no type of one."""
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def create(
    blueprints: Iterable[Blueprint], fast: RouteTable, internal: guard.InternalGuard, *, max_body_bytes: int
) -> Flask:
    """The app with every blueprint and every fast route."""
    app = Flask("maas_api", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = max_body_bytes
    app.url_map.strict_slashes = True
    app.url_map.merge_slashes = False
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    for method, path, route in fast.exact():
        app.add_url_rule(path, f"fast:{method}:{path}", _view(route), methods=[method])
    for prefix, found in fast.prefixes():
        view = _view(found.route, found.body_bytes)
        app.add_url_rule(f"{prefix}<path:_rest>", f"fast:{prefix}", view, methods=list(_METHODS))

    @app.before_request
    def _first() -> Response | None:
        if request.url_rule is not None:
            request.environ[ROUTE_KEY] = _template(request.url_rule.rule)
        if request.method == "OPTIONS":
            return as_response(NO_CONTENT)
        if request.environ["PATH_INFO"].startswith("//"):  # the router would take it for the path with one slash
            return as_response(guard.NOT_FOUND)
        if request.path.startswith(guard.PREFIX):
            refused = internal.refuse(request.path, raw_headers())
            if refused is not None:
                return as_response(refused)
        if request.method == "HEAD" and request.url_rule is not None:
            raise MethodNotAllowed(valid_methods=sorted((request.url_rule.methods or set()) - {"HEAD", "OPTIONS"}))
        return None

    app.register_error_handler(ApiError, lambda fault: as_response(fault.reply()))
    app.register_error_handler(NotFound, _not_found)
    app.register_error_handler(MethodNotAllowed, _wrong_method)
    app.register_error_handler(RequestEntityTooLarge, _too_large)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _fault)
    return app


def _template(rule: str) -> str:
    """A route's template as the Go service names it in its metrics: ``/v1/api-keys/:id``."""
    return re.sub(r"<(?:path:)?(\w+)>", r":\1", rule)


def raw_headers() -> RawHeaders:
    """The current request's headers as the fast routes take them."""
    return [(name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in request.headers]


def as_response(reply: Reply) -> Response:
    """A fast route's answer as Flask's."""
    response = Response(reply.body, status=reply.status)
    response.headers.clear()
    for name, value in reply.headers:
        response.headers.add(name.decode("latin-1").title(), value.decode("latin-1"))
    return response


def _view(route: FastRoute, body_bytes: int = 0) -> Callable[..., Response]:
    def view(**_parts: str) -> Response:
        if body_bytes:
            request.max_content_length = body_bytes
        answer = route(
            Request(request.method, request.path, request.full_path.rstrip("?"), raw_headers(), request.get_data())
        )
        return as_response(answer.settled() if isinstance(answer, Pending) else answer)

    return view


def _not_found(_fault: NotFound) -> BaseResponse:
    """404 in shape A; a path that exists with or without its last slash redirects, as the Go router does."""
    path = request.path
    other = path.rstrip("/") if path.endswith("/") else path + "/"
    if path != "/" and not path.startswith("//") and _exists(other):
        query = request.query_string.decode("latin-1")
        return redirect(other + (f"?{query}" if query else ""), code=301 if request.method == "GET" else 307)
    return as_response(guard.NOT_FOUND)


def _exists(path: str) -> bool:
    adapter = current_app.url_map.bind("", url_scheme="http")
    try:
        adapter.match(path, method=request.method)
    except (NotFound, MethodNotAllowed, RequestRedirect):
        return False
    return True


def _wrong_method(fault: MethodNotAllowed) -> Response:
    allowed = sorted(set(fault.valid_methods or ()) - {"HEAD", "OPTIONS"})
    message = f"method {request.method} is not allowed here, use {' or '.join(allowed)}"
    return as_response(plain(405, message, headers=(("Allow", ", ".join(allowed)),)).reply())


def _too_large(_fault: RequestEntityTooLarge) -> Response:
    return as_response(too_large(current_app.config["MAX_CONTENT_LENGTH"]))


def too_large(limit: int) -> Reply:
    """413 in shape A, naming the limit in bytes."""
    return plain(413, f"request body must not exceed {limit} bytes").reply()


def _http_error(fault: HTTPException) -> Response:
    return as_response(plain(fault.code or 500, fault.description or fault.name).reply())


def _fault(fault: Exception) -> Response:
    """Our own fault: details go to the log, the caller gets a constant."""
    _log.error("request failed", exc_info=fault, extra={"method": request.method})
    return as_response(plain(500, "internal server error").reply())
