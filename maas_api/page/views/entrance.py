"""Signing in and out, where the page does that itself."""

from __future__ import annotations

import logging

from flask import g, redirect, request
from werkzeug.wrappers import Response as BaseResponse

from maas_api.observability.logs import user_hash
from maas_api.page.sessions import Session, Sessions, UnavailableError
from maas_api.page.views.shell import ROOT, Shell
from maas_api.page.visitors import cookie_name

_log = logging.getLogger(__name__)

_API_KEY = "This is an API key. Sign in with a platform token: it says who you are."
_USED = "This link was used, or is over. Sign in with a token."
_LATER = "The token could not be checked now. Try again."


def register(shell: Shell, sessions: Sessions, lifetime: int) -> None:
    """``lifetime`` of a session is seconds."""
    views = shell.views

    @views.get(f"{ROOT}sign-in")
    def sign_in_form() -> BaseResponse:
        if g.visitor is not None:
            return redirect("keys")
        return shell.render("sign_in.html", problem="")

    @views.post(f"{ROOT}sign-in")
    def sign_in() -> BaseResponse:
        code, token = shell.form().text("code"), shell.form().text("token")
        try:
            made = sessions.by_link(code) if code else sessions.by_token(token)
        except UnavailableError:
            return shell.render("sign_in.html", 503, problem=_LATER)
        if not isinstance(made, Session):
            _log.warning("page sign-in refused", extra={"link": bool(code)})
            why = _USED if made is None else _API_KEY if token.startswith("sk-oai-") else made.reason
            g.visitor = None
            return shell.render("sign_in.html", 401, problem=why)
        if g.visitor is not None and g.visitor.session is not None:
            sessions.end(g.visitor.session)  # a browser has one session: the old number is of no more use
        _log.info("page sign-in", extra={"actor": user_hash(made.who.username), "link": bool(code)})
        return _with_cookie(redirect("keys", 303), made)

    @views.post(f"{ROOT}sign-out")
    def sign_out() -> BaseResponse:
        session = shell.visitor.session
        if session is not None and shell.form().text("everywhere"):
            sessions.end_all(session.who.username)
        elif session is not None:
            sessions.end(session)
        answer = redirect("sign-in", 303)
        answer.delete_cookie(cookie_name(request), path="/", secure=request.is_secure, httponly=True, samesite="Strict")
        answer.headers["Clear-Site-Data"] = '"cache", "storage"'
        return answer

    def _with_cookie(answer: BaseResponse, made: Session) -> BaseResponse:
        answer.set_cookie(
            cookie_name(request),
            sessions.cookie(made),
            max_age=lifetime,
            path="/",
            secure=request.is_secure,
            httponly=True,
            samesite="Strict",
        )
        return answer
