"""Spans: named, continued, closed; nothing of the caller's in them."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from maas_api.observability.tracing import Tracing, trace_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CONSTANTS = {"tenant.name": "acme", "tenant.namespace": "ns", "gateway.name": "gw", "gateway.namespace": "gwns"}


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracing(exporter: InMemorySpanExporter) -> Tracing:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Tracing(provider, CONSTANTS)


def test_a_span_has_the_go_service_s_name_and_attributes(tracing: Tracing, exporter: InMemorySpanExporter) -> None:
    secret = b"sk-oai-abcdefghijklmnop_" + b"Zz9" * 15
    span = tracing.begin(
        "GET", [(b"authorization", secret), (b"traceparent", f"00-{TRACE}-00f067aa0ba902b7-01".encode())]
    )
    assert trace_of(span) == TRACE
    tracing.end(span, "GET", "/v1/api-keys/:id", 404)
    (done,) = exporter.get_finished_spans()
    assert done.name == "GET /v1/api-keys/:id"
    told = {"http.method": "GET", "http.route": "/v1/api-keys/:id", "http.status_code": 404}
    assert dict(done.attributes or {}) == CONSTANTS | told
    assert done.status.status_code is StatusCode.UNSET
    assert "Zz9" not in done.to_json()


def test_faults_are_errors_and_a_malformed_parent_starts_a_new_trace(
    tracing: Tracing, exporter: InMemorySpanExporter
) -> None:
    span = tracing.begin("POST", [(b"traceparent", b"garbage")])
    tracing.end(span, "POST", "unmatched", 503)
    (done,) = exporter.get_finished_spans()
    assert done.parent is None
    assert done.status.status_code is StatusCode.ERROR
