"""Reading the audit over HTTP, and noting where each request comes from. Nothing is decided here."""

from __future__ import annotations

from flask import Blueprint, Response, request

from maas_api.audit import encoding, query
from maas_api.audit.origin import ORIGIN, of_request
from maas_api.audit.service import AuditService
from maas_api.errors import encode
from maas_api.identity import headers

_CSV = "text/csv"
_JSON = "application/json"


def blueprint(service: AuditService) -> Blueprint:
    """``GET /v1/audit``."""
    views = Blueprint("audit", __name__)

    @views.before_app_request
    def note_origin() -> None:
        ORIGIN.set(of_request(request.headers.get("Authorization", ""), request.path))

    @views.after_request
    def no_store(response: Response) -> Response:
        response.headers["Cache-Control"] = "no-store"
        return response

    @views.get("/v1/audit")
    def audit() -> Response:
        """JSON, or CSV where the client would rather have that."""
        who = headers.parse(request.headers.getlist(headers.USERNAME), request.headers.getlist(headers.GROUP))
        found, more = service.find(who, request.args.to_dict(flat=False))
        after = query.place(found[-1].at, found[-1].id) if more else ""
        if request.accept_mimetypes.best_match((_JSON, _CSV), _JSON) == _CSV:
            made = Response(encoding.as_csv(found).encode(), content_type="text/csv; charset=utf-8; header=present")
            made.headers["Content-Disposition"] = 'attachment; filename="audit.csv"'
            if after:
                made.headers["X-Next-After"] = after
        else:
            listed = {"object": "list", "data": [encoding.as_json(entry) for entry in found], "has_more": more}
            made = Response(
                encode(listed | ({"next": after} if after else {})), content_type="application/json; charset=utf-8"
            )
        made.headers["Vary"] = "Accept"
        return made

    return views
