"""A rate limit service: ``envoy.service.ratelimit.v3``, with the configuration of envoyproxy/ratelimit.

Counts as that does: each descriptor by its own ``hits_addend`` (0 only looks), windows of the clock's own, added to
whatever the answer. Its clock is the test's.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, duration_pb2, message_factory, wrappers_pb2

Json = dict[str, Any]
_PACKAGE = "envoy.service.ratelimit.v3"
_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_NUMBERS = {"second": 1, "minute": 2, "hour": 3, "day": 4}
_OK, _OVER = 1, 2


def _messages() -> tuple[Any, Any]:
    """RateLimitRequest and RateLimitResponse, as far as they are read and written here (rls.proto, ratelimit.proto)."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="tests/rls.proto", package="tests.rls", syntax="proto3")
    file.dependency.extend(["google/protobuf/wrappers.proto", "google/protobuf/duration.proto"])

    def message(name: str, *fields: tuple[str, int, int, str, bool]) -> None:
        found = file.message_type.add(name=name)
        for title, number, kind, kind_name, repeated in fields:
            label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            made = found.field.add(name=title, number=number, type=kind, label=label)
            if kind_name:
                made.type_name = kind_name

    text, number32, number64, inner = field.TYPE_STRING, field.TYPE_UINT32, field.TYPE_INT32, field.TYPE_MESSAGE
    message("Entry", ("key", 1, text, "", False), ("value", 2, text, "", False))
    message(
        "Descriptor",
        ("entries", 1, inner, ".tests.rls.Entry", True),
        ("hits_addend", 3, inner, ".google.protobuf.UInt64Value", False),
    )
    message(
        "Request",
        ("domain", 1, text, "", False),
        ("descriptors", 2, inner, ".tests.rls.Descriptor", True),
        ("hits_addend", 3, number32, "", False),
    )
    message("Limit", ("requests_per_unit", 1, number32, "", False), ("unit", 2, number64, "", False))
    message(
        "Status",
        ("code", 1, number64, "", False),
        ("current_limit", 2, inner, ".tests.rls.Limit", False),
        ("limit_remaining", 3, number32, "", False),
        ("duration_until_reset", 4, inner, ".google.protobuf.Duration", False),
    )
    message("Response", ("overall_code", 1, number64, "", False), ("statuses", 2, inner, ".tests.rls.Status", True))
    pool = descriptor_pool.DescriptorPool()
    for known in (wrappers_pb2, duration_pb2):
        pool.AddSerializedFile(known.DESCRIPTOR.serialized_pb)
    pool.Add(file)

    def kind(name: str) -> Any:
        return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tests.rls.{name}"))

    return kind("Request"), kind("Response")


_REQUEST, _RESPONSE = _messages()


class RateLimitService:
    """The service. ``now``: its clock, in seconds, to be set. ``asked``: every descriptor, with what it added."""

    def __init__(self, configuration: Json) -> None:
        self.configuration = configuration
        self.now = 1_000_000.0
        self.asked: list[tuple[dict[str, str], int]] = []
        self.port = 0
        self._counts: Counter[tuple[Any, ...]] = Counter()
        self._lock = threading.Lock()

    def _should_rate_limit(self, request: Any, _context: Any) -> Any:
        with self._lock:
            answer = _RESPONSE(overall_code=_OK)
            for descriptor in request.descriptors:
                entries = {entry.key: entry.value for entry in descriptor.entries}
                given = descriptor.HasField("hits_addend")
                hits = descriptor.hits_addend.value if given else request.hits_addend or 1
                self.asked.append((entries, hits))
                status = answer.statuses.add(code=_OK)
                limit = self.limit(request.domain, entries)
                if limit is None:
                    continue
                length = _UNITS[limit["unit"]]
                place = (*entries.items(), int(self.now // length))
                before = self._counts[place]
                self._counts[place] += hits
                most = limit["requests_per_unit"]
                over = before + hits > most
                if over:
                    status.code = answer.overall_code = _OVER
                status.current_limit.requests_per_unit = most
                status.current_limit.unit = _NUMBERS[limit["unit"]]
                status.limit_remaining = max(0, most - self._counts[place])
                status.duration_until_reset.seconds = int(length - self.now % length)
            return answer

    def limit(self, domain: str, entries: Mapping[str, str]) -> Json | None:
        """The limit of a descriptor: at each step what has its value before what has none."""
        if domain != self.configuration["domain"]:
            return None
        below: list[Json] = self.configuration["descriptors"]
        found: Json = {}
        for key, value in entries.items():
            here = [item for item in below if item["key"] == key and item.get("value", value) == value]
            if not here:
                return None
            found = next((item for item in here if "value" in item), here[0])
            below = found.get("descriptors", [])
        limit: Json | None = found.get("rate_limit")
        return limit

    @contextmanager
    def running(self) -> Iterator[RateLimitService]:
        """Serve on a loopback port of its own."""
        handler = grpc.unary_unary_rpc_method_handler(
            self._should_rate_limit,
            request_deserializer=_REQUEST.FromString,
            response_serializer=_RESPONSE.SerializeToString,
        )
        server = grpc.server(futures.ThreadPoolExecutor(4))
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(f"{_PACKAGE}.RateLimitService", {"ShouldRateLimit": handler}),)
        )
        self.port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield self
        finally:
            server.stop(0).wait(5)
