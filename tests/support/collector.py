"""A collector of traces: the gRPC service that OTLP exporters send their spans to."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps every exported batch as bytes. ``port``: where it listens on 127.0.0.1."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.port = 0

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the service's own name for it
        self.received.append(request.SerializeToString())
        return trace_service_pb2.ExportTraceServiceResponse()


@contextmanager
def collector() -> Iterator[Collector]:
    """A running collector."""
    server = grpc.server(futures.ThreadPoolExecutor(2))
    found = Collector()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(found, server)
    found.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield found
    finally:
        server.stop(0)
