"""Reading usage over HTTP. Nothing is decided here."""

from __future__ import annotations

from flask import Blueprint, Response, request

from maas_api.errors import encode
from maas_api.identity import headers
from maas_api.identity.headers import Identity
from maas_api.usage.http import report_json
from maas_api.usage.own_key import OwnKey
from maas_api.usage.readers import Presented, Reader
from maas_api.usage.report import Report
from maas_api.usage.service import UsageService

_CSV = "text/csv"
_JSON = "application/json"


def blueprint(service: UsageService, own_key: OwnKey, presented: Presented) -> Blueprint:
    """``/v1/usage``, ``/v1/api-keys/{id}/usage`` and ``/v1/key``."""
    views = Blueprint("usage", __name__)

    @views.after_request
    def no_store(response: Response) -> Response:
        response.headers["Cache-Control"] = "no-store"
        return response

    @views.get("/v1/usage")
    def usage() -> Response:
        return _answer(service.report(_reader(), request.args.to_dict(flat=False)))

    @views.get("/v1/api-keys/<key_id>/usage")
    def key_usage(key_id: str) -> Response:
        return _answer(service.of_key(_reader(), key_id, request.args.to_dict(flat=False)))

    @views.get("/v1/key")
    def key() -> Response:
        told = {"data": own_key.tell(request.headers.get("Authorization", ""))}
        return Response(encode(told), content_type="application/json; charset=utf-8")

    def _reader() -> Reader:
        return presented.reader(_caller, request.headers.get("Authorization", ""))

    def _answer(report: Report) -> Response:
        """JSON, or CSV where the client would rather have that."""
        priced = bool(service.prices())
        if request.accept_mimetypes.best_match((_JSON, _CSV), _JSON) == _CSV:
            text = report_json.as_csv(report, priced=priced)
            made = Response(text.encode(), content_type="text/csv; charset=utf-8; header=present")
            made.headers["Content-Disposition"] = 'attachment; filename="usage.csv"'
        else:
            made = Response(
                encode(report_json.as_json(report, priced=priced)), content_type="application/json; charset=utf-8"
            )
        made.headers["Vary"] = "Accept"
        return made

    return views


def _caller() -> Identity:
    return headers.parse(request.headers.getlist(headers.USERNAME), request.headers.getlist(headers.GROUP))
