"""OTLP/HTTP log records, as Envoy's access logger and every OpenTelemetry collector post them.

https://opentelemetry.io/docs/specs/otlp/#otlphttp: ``ExportLogsServiceRequest`` in binary protobuf, gzip where
``Content-Encoding`` says so.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:  # loaded with the first batch: few services are sent any
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

CONTENT_TYPE: Final = "application/x-protobuf"
RECORDS_MAX: Final = 20_000
"""Most records of one batch. Envoy sends some dozens, a collector 8,192 unless told otherwise."""
UNPACKED_MAX: Final = 2 * 1024 * 1024
"""Most bytes of a zipped batch once unpacked; on the wire it keeps to the bound of every request."""


class OtlpError(ValueError):
    """A body that is not what it should be. The message names the rule."""


class Entry(NamedTuple):
    """One log record: when (Unix nanoseconds, 0 where it does not say) and its attributes."""

    at: int
    attributes: dict[str, str | int | float]


def unpack(body: bytes, encoding: str, limit: int = UNPACKED_MAX) -> bytes:
    """The body as it was before ``Content-Encoding``. Raises OtlpError; ``limit`` is bytes."""
    if encoding in ("", "identity"):
        return body
    if encoding != "gzip":
        raise OtlpError(f"Content-Encoding must be gzip or absent, got {encoding[:40]!r}")
    engine = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        plain = engine.decompress(body, limit + 1)
    except zlib.error:
        raise OtlpError("the body is not gzip, and Content-Encoding says that it is") from None
    if len(plain) > limit:
        raise OtlpError(f"the body must not exceed {limit} bytes once unpacked")
    if not engine.eof:
        raise OtlpError("the body's gzip stream is cut")
    return plain


def entries(body: bytes) -> list[Entry]:
    """The records of a request. Raises OtlpError for anything else, and for too many of them."""
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    request = ExportLogsServiceRequest()
    try:
        request.ParseFromString(body)
    except DecodeError:
        raise OtlpError("the body must be an OTLP ExportLogsServiceRequest in binary protobuf") from None
    found = list(_records(request))
    if len(found) > RECORDS_MAX:
        raise OtlpError(f"a batch must not have more than {RECORDS_MAX} records, got {len(found)}")
    return found


def reply(rejected: int = 0, message: str = "") -> bytes:
    """The answer to a request that was taken; ``rejected`` records of it could not be."""
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

    answer = ExportLogsServiceResponse()
    if rejected:
        answer.partial_success.rejected_log_records = rejected
        answer.partial_success.error_message = message
    encoded: bytes = answer.SerializeToString()
    return encoded


def _records(request: ExportLogsServiceRequest) -> Iterator[Entry]:
    for resource in request.resource_logs:
        for scope in resource.scope_logs:
            for record in scope.log_records:
                yield Entry(
                    record.time_unix_nano or record.observed_time_unix_nano,
                    {item.key: _value(item.value) for item in record.attributes},
                )


def _value(value: Any) -> str | int | float:
    """A scalar as it is; anything else is no value of ours. An access log's values are text, nearly all of them."""
    text: str = value.string_value
    if text:
        return text
    kind = value.WhichOneof("value")
    if kind in ("int_value", "double_value"):
        found: int | float = getattr(value, kind)
        return found
    return ""
