"""``POST /internal/v1/usage``: OTLP/HTTP log records of the gateway, as a fast route. Nothing is decided here."""

from __future__ import annotations

import logging
from concurrent.futures import Future
from typing import Final, Protocol

from maas_api.errors import plain
from maas_api.observability import metrics
from maas_api.usage import otlp
from maas_api.usage.intake.batch import NotStoredError, Taken
from maas_api.usage.intake.counters import count
from maas_api.wire import FastRoute, Pending, Promise, Reply, Request

PATH: Final = "/internal/v1/usage"
ANSWER_SECONDS: Final = 20.0
"""How long a batch may take, the store's own limits and the wait behind others included."""

_log = logging.getLogger(__name__)


class Taking(Protocol):
    """Takes batches in, in this process or in another. The future raises OtlpError and NotStoredError."""

    def submit(self, body: bytes, encoding: str = "") -> Future[Taken]: ...


def route(intake: Taking) -> FastRoute:
    """The one endpoint."""

    def ingest(request: Request) -> Reply | Pending:
        """200 once the batch is committed. 4xx: sending it again is of no use; 503: it is (OTLP's own rule)."""
        kind = (request.header(b"content-type") or "").partition(";")[0].strip().lower()
        if kind != otlp.CONTENT_TYPE:
            return plain(415, f"Content-Type must be {otlp.CONTENT_TYPE}, got {kind[:80]!r}").reply()
        promise = Promise()
        taking = intake.submit(request.body, (request.header(b"content-encoding") or "").strip().lower())
        taking.add_done_callback(lambda taken: promise.settle(_answer(taken)))
        return Pending(promise, ANSWER_SECONDS, _AGAIN)

    return ingest


def _answer(taken: Future[Taken]) -> Reply:
    try:
        count(taken.result())
    except otlp.OtlpError as fault:
        metrics.usage_batches.labels("malformed").inc()
        return plain(400, str(fault)).reply()
    except NotStoredError as fault:
        metrics.store_errors.labels("usage").inc()
        _log.error("usage could not be stored", extra={"fault": str(fault)})
    except Exception:  # a fault of ours must be answered as well
        _log.exception("usage could not be taken in")
    else:
        metrics.usage_batches.labels("taken").inc()
        return Reply(200, _TAKEN, otlp.reply())
    metrics.usage_batches.labels("failed").inc()
    return _AGAIN


_TAKEN: Final = ((b"content-type", otlp.CONTENT_TYPE.encode()),)
_AGAIN: Final = plain(503, "usage could not be stored, try again", headers=(("Retry-After", "1"),)).reply()
