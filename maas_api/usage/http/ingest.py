"""``POST /internal/v1/usage``: OTLP/HTTP log records of the gateway. Nothing is decided here."""

from __future__ import annotations

import logging

import sqlalchemy as sa
from flask import Blueprint, Response, request

from maas_api.errors import plain
from maas_api.observability import metrics
from maas_api.usage import otlp
from maas_api.usage.intake import Intake

PATH = "/internal/v1/usage"

_log = logging.getLogger(__name__)


def blueprint(intake: Intake) -> Blueprint:
    """The one endpoint."""
    views = Blueprint("usage-ingest", __name__)

    @views.post(PATH)
    def ingest() -> Response:
        """200 once the batch is committed. 4xx: sending it again is of no use; 503: it is (OTLP's own rule)."""
        if request.mimetype != otlp.CONTENT_TYPE:
            raise plain(415, f"Content-Type must be {otlp.CONTENT_TYPE}, got {request.mimetype[:80]!r}")
        try:
            body = otlp.unpack(request.get_data(), request.headers.get("Content-Encoding", "").lower())
            intake.take(body)
        except otlp.OtlpError as fault:
            metrics.usage_batches.labels("malformed").inc()
            raise plain(400, str(fault)) from None
        except sa.exc.SQLAlchemyError as fault:
            metrics.usage_batches.labels("failed").inc()
            metrics.store_errors.labels("usage").inc()
            _log.error("usage could not be stored", extra={"fault": type(fault).__name__})
            raise plain(503, "usage could not be stored, try again", headers=(("Retry-After", "1"),)) from None
        metrics.usage_batches.labels("taken").inc()
        return Response(otlp.reply(), 200, content_type=otlp.CONTENT_TYPE)

    return views
