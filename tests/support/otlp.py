"""Access-log records as the gateway posts them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from maas_api.usage import otlp

HEADERS = {"Content-Type": otlp.CONTENT_TYPE}


def call(**said: Any) -> dict[str, Any]:
    """The attributes of one good chat call of ann's; ``usage`` is the provider's usage object by path."""
    usage = said.pop("usage", {"prompt_tokens": 10, "completion_tokens": 5})
    attributes = {
        "key_id": "key-1",
        "user": "ann",
        "subscription": "gold",
        "model": "gpt-4o-mini",
        "provider": "openai",
        "path": "/external/openai/v1/chat/completions",
        "status": 200,
        "flags": "-",
        "duration_ms": 900,
        "first_event_ms": 300,
        **said,
    }
    return {
        **{f"maas.{name}": value for name, value in attributes.items() if value is not None},
        **{f"maas.usage.{path}": value for path, value in usage.items()},
    }


def batch(calls: Sequence[Mapping[str, Any]], *, at: float | None = None) -> bytes:
    """An export request; ``at`` is Unix seconds, now where it is not given, 0 for records without a time."""
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    moment = time.time_ns() if at is None else int(at * 1e9)
    for number, attributes in enumerate(calls):
        record = records.add()
        record.time_unix_nano = moment + number if moment else 0
        for name, value in attributes.items():
            item = record.attributes.add()
            item.key = name
            item.value.string_value = str(value)  # Envoy's formatter writes everything as text
    body: bytes = request.SerializeToString()
    return body
