"""``/docs``: the API's own page. Swagger UI's files come out of its package, the description out of openapi.yaml.

It knows nobody and shows nothing of this installation. All links are relative, so it stands behind any prefix; the one
server that it offers is the one it came from.
"""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import Any, Final

import yaml
from flask import Blueprint, Response, redirect

from maas_api.page import assets, defence
from maas_api.page.assets import Asset

ROOT: Final = "/docs/"
_VIEWER: Final = ("swagger-ui-bundle.js", "swagger-ui.css")
_OURS: Final = ("reference.js",)
_FRAME: Final = (
    '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>MaaS API</title>\n'
    '<link rel="icon" href="data:,">\n<link rel="stylesheet" href="{css}">\n'
    '<script src="{bundle}" defer></script>\n<script src="{start}" defer></script>\n</head>\n'
    '<body>\n<div id="reference"></div>\n'
    "<noscript><p>This page needs its script. The same, to read: "
    '<a href="openapi.json">openapi.json</a></p></noscript>\n</body>\n</html>\n'
)


def blueprint() -> Blueprint:
    """The page, its three files and the description."""
    views = Blueprint("reference", __name__)
    views.after_request(_guarded)
    views.add_url_rule(ROOT.rstrip("/"), "door", lambda: redirect("docs/"))

    @views.get(ROOT)
    def index() -> Response:
        names = {"css": "swagger-ui.css", "bundle": "swagger-ui-bundle.js", "start": "reference.js"}
        places = {field: assets.link(_files(), name) for field, name in names.items()}
        return Response(_FRAME.format(**places), content_type="text/html; charset=utf-8")

    @views.get(f"{ROOT}openapi.json")
    def description() -> Response:
        return Response(_description(), content_type="application/json")

    @views.get(f"{ROOT}<name>")
    def file(name: str) -> Response:
        return assets.answer(_files(), name)

    return views


@functools.cache
def _description() -> bytes:
    source = resources.files(__package__) / "openapi.yaml"  # in a checkout a link to the one at the root
    described: dict[str, Any] = yaml.safe_load(source.read_bytes())
    described["servers"] = [{"url": "..", "description": "Where this page is"}]
    return json.dumps(described, ensure_ascii=False, separators=(",", ":")).encode()


@functools.cache
def _files() -> dict[str, Asset]:
    viewer, ours = resources.files("flask_swagger_ui") / "dist", resources.files(__package__) / "static"
    return assets.read([*(viewer / name for name in _VIEWER), *(ours / name for name in _OURS)])


def _guarded(response: Response) -> Response:
    for name, value in (defence.HEADERS | {"Content-Security-Policy": defence.REFERENCE_POLICY}).items():
        response.headers[name] = value
    response.headers.setdefault("Cache-Control", "no-cache")
    return response
