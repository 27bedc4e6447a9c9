"""Spans over OTLP, off unless an endpoint is set; OpenTelemetry is an extra and is imported only then.

One span per request, named and attributed as the Go service's: nothing a caller sends becomes an attribute, so no
credential can leave by this way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from maas_api.wire import RawHeaders

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

_CARRIED = (b"traceparent", b"tracestate")


class TracingUnavailableError(Exception):
    """Tracing is asked for and its packages are not installed. The message says which extra to install."""


def provider(endpoint: str, *, insecure: bool, rate: float) -> TracerProvider:
    """A provider that sends spans to ``endpoint`` in batches. Call in the worker: it starts a thread.

    Raises TracingUnavailableError where the extra ``tracing`` is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    except ImportError as fault:
        raise TracingUnavailableError(
            "--otel-exporter-otlp-endpoint (OTEL_EXPORTER_OTLP_ENDPOINT): "
            "needs OpenTelemetry: run the image, which has it, or in a checkout pip install '.[tracing]'"
        ) from fault
    result = TracerProvider(
        resource=Resource.create({"service.name": "maas-api"}), sampler=ParentBased(TraceIdRatioBased(rate))
    )
    result.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, insecure=insecure)))
    return result


class Tracing:
    """Makes one span per request. ``attributes`` are constants of the installation."""

    def __init__(self, provider: TracerProvider, attributes: Mapping[str, str]) -> None:
        from opentelemetry.trace import SpanKind, Status, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("maas_api")
        self._attributes = dict(attributes)
        self._propagator = TraceContextTextMapPropagator()
        self._kind = SpanKind.SERVER
        self._error = Status(StatusCode.ERROR)

    def begin(self, method: str, headers: RawHeaders) -> Span:
        """A span that continues the caller's trace, where the headers carry one."""
        carrier = {name.decode(): value.decode("latin-1") for name, value in headers if name in _CARRIED}
        return self._tracer.start_span(
            method, context=self._propagator.extract(carrier), kind=self._kind, attributes=self._attributes
        )

    def end(self, span: Span, method: str, route: str, status: int) -> None:
        """Name and close the span. Statuses from 500 up are errors."""
        span.update_name(f"{method} {route}")
        told: dict[str, Any] = {"http.method": method, "http.route": route, "http.status_code": status}
        span.set_attributes(told)
        if status >= 500:
            span.set_status(self._error)
        span.end()

    def start(self) -> None:
        """Nothing to do: the provider's thread runs."""

    def stop(self) -> None:
        """Send what is left and end the thread."""
        self._provider.shutdown()


def trace_of(span: Span) -> str:
    """The span's trace id, 32 hex digits."""
    return format(span.get_span_context().trace_id, "032x")
