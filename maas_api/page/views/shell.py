"""What every view stands in: who looks, where a form comes from, the headers of each answer, and the templates."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any, Final

import jinja2
from flask import Blueprint, Response, g, redirect, request
from werkzeug.wrappers import Response as BaseResponse

from maas_api.errors import ApiError, plain
from maas_api.identity.admin import AdminCheck
from maas_api.page import assets, charts, defence, words
from maas_api.page.forms import Form
from maas_api.page.visitors import Door, Visitor, is_admin

_log = logging.getLogger(__name__)

ROOT: Final = "/ui/"
TOKEN_FIELD: Final = "form_token"  # noqa: S105 -- the name of a field
_OPEN: Final = frozenset({"page.asset", "page.sign_in", "page.sign_in_form"})
"""What is answered to whoever asks."""
_PACKAGE: Final = "maas_api.page"


class Shell:
    """The blueprint, and how its views answer."""

    def __init__(self, door: Door, admins: AdminCheck, now: Callable[[], Any]) -> None:
        self.door = door
        self.views = Blueprint("page", __name__)
        self._admins = admins
        self._now = now
        self._assets = assets.read(resources.files(_PACKAGE).joinpath("static").iterdir())
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader(_PACKAGE),
            autoescape=True,  # of every name of a template
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {
            "moment": words.moment,
            "iso": words.iso,
            "money": words.money,
            "short": charts.short,
            "count": "{:,}".format,
        }
        self._templates.globals["share"] = charts.share
        self.views.before_request(self._admit)
        self.views.after_request(_guarded)
        self.views.register_error_handler(ApiError, self._refused)
        self.views.register_error_handler(Exception, self._fault)
        self.views.add_url_rule(f"{ROOT}assets/<name>", "asset", self._asset)
        self.views.add_url_rule(ROOT.rstrip("/"), "door", lambda: redirect("ui/"))
        self.views.add_url_rule(ROOT, "start", lambda: redirect("keys"))
        self.views.add_url_rule(f"{ROOT}<path:rest>", "nothing", self._nothing)
        if door.local:
            self.views.add_url_rule("/", "home", lambda: redirect("ui/"))

    # -- for the views

    @property
    def visitor(self) -> Visitor:
        """Who looks."""
        found: Visitor = g.visitor
        return found

    @property
    def admin(self) -> bool:
        """Whether that is an admin. Asked once a request, and only where it matters."""
        if "page_admin" not in g:
            g.page_admin = is_admin(self._admins, self.visitor.who)
        return bool(g.page_admin)

    def require_admin(self) -> None:
        """Raises ApiError 403."""
        if not self.admin:
            raise plain(403, "This part of the page is for admins")

    def form(self) -> Form:
        """The fields of the form that was sent."""
        return Form(request.form.to_dict(flat=False))

    def query(self) -> Form:
        """The fields in the address."""
        return Form(request.args.to_dict(flat=False))

    def render(self, template: str, code: int = 200, /, **values: Any) -> Response:
        """A page."""
        visitor: Visitor | None = g.get("visitor")
        now = self._now()
        text = self._templates.get_template(template).render(
            **values,
            root=_up(request.path),
            here=request.path.removeprefix(ROOT).partition("/")[0],
            who=visitor.who.username if visitor else "",
            admin=bool(visitor) and self.admin,
            local=self.door.local,
            form_token=self.door.form_token(visitor) if visitor else "",
            asset=self._address,
            distance=lambda moment: words.distance(moment, now),
        )
        return Response(text, code, content_type="text/html; charset=utf-8")

    def go(self, place: str) -> BaseResponse:
        """On to another view, after a form. ``place`` is relative to the page's root, as the gateway may have it under
        a prefix that nobody told us."""
        return redirect(_up(request.path) + place, 303)

    # -- around every view

    def _admit(self) -> BaseResponse | None:
        if request.endpoint == "page.asset":
            return None
        g.visitor = self.door.visitor(request)
        if request.method == "POST":
            why = defence.from_elsewhere(dict(request.headers))
            if why:
                raise plain(403, f"This form was not sent by the page itself: {why}. Nothing was changed")
        if request.endpoint in _OPEN:
            return None
        if g.visitor is None:
            return self.go("sign-in") if request.method == "GET" else self.render("sign_in.html", 401, problem=_OVER)
        if request.method == "POST" and not self.door.is_theirs(g.visitor, request.form.get(TOKEN_FIELD, "")):
            raise plain(403, "This form is too old, or was not made for you. Nothing was changed; open it again")
        return None

    def _refused(self, fault: ApiError) -> Response:
        return self.render("problem.html", fault.status, problem=message(fault))

    def _fault(self, fault: Exception) -> BaseResponse:
        _log.error("page failed", exc_info=fault, extra={"method": request.method})
        g.visitor = None
        return Response(_BROKEN, 500, content_type="text/html; charset=utf-8")

    def _nothing(self, rest: str) -> Response:
        return self.render("problem.html", 404, problem="There is no such page.")

    def _address(self, name: str) -> str:
        return f"{_up(request.path)}assets/{assets.link(self._assets, name)}"

    def _asset(self, name: str) -> Response:
        return assets.answer(self._assets, name)


_OVER: Final = "The session is over. Nothing was changed; sign in again."
_BROKEN: Final = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>Out of order</title>'
    "<h1>Out of order</h1><p>Something went wrong here; the service's log says what.</p></html>"
)


def message(fault: ApiError) -> str:
    """The sentence of an error, in whichever shape."""
    error = fault.body.get("error", "")
    return str(error.get("message", "")) if isinstance(error, Mapping) else str(error)


def _guarded(response: Response) -> Response:
    for name, value in defence.HEADERS.items():
        response.headers[name] = value
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def _up(path: str) -> str:
    """From an address to the page's root: the links are relative, whatever prefix the gateway has."""
    return "../" * path.removeprefix(ROOT).count("/") if path.startswith(ROOT) else "ui/"
