"""What Envoy tells of each call: the numbers of the provider's usage object, read from the answer as it passes, and the
record that goes to ``POST /internal/v1/usage`` when the call is over.

A JSON answer is read whole by ``json_to_metadata``, a stream event by event by ``sse_to_metadata``, which holds nothing
back. Both write each number under its path; of a stream the last event that says one counts. Who called, and what,
comes from the authorizer's answer as dynamic metadata, so that none of it travels to a model.
"""

from __future__ import annotations

from typing import Final

from maas_api.gateway.envoy import clusters
from maas_api.gateway.envoy.xds import Json, extension
from maas_api.gateway.quota import METERED, SAID
from maas_api.usage import dialects, record

USAGE_PATH: Final = "/internal/v1/usage"
_AUTHZ: Final = "envoy.filters.http.ext_authz"
_NAMESPACE: Final = "maas.usage"
_EVENT_BYTES: Final = 1024 * 1024
"""Longest event that is read. Responses' last one repeats the whole answer."""
_FLUSH_SECONDS: Final = "0.5s"
_BUFFER_BYTES: Final = 65536
"""Records wait for so long, or until there are so many bytes of them; a batch keeps to the service's own bound."""


def usage_readers() -> list[Json]:
    """The filters that read answers."""
    rules = [
        {
            "selectors": [{"key": key} for key in (*place.split("."), *field.split("."))],
            "on_present": {"metadata_namespace": _NAMESPACE, "key": field, "type": "NUMBER"},
        }
        for place in dialects.PLACES
        for field in dialects.FIELDS
    ]
    return [
        extension(
            "envoy.filters.http.json_to_metadata",
            "envoy.extensions.filters.http.json_to_metadata.v3.JsonToMetadata",
            response_rules={"rules": rules},
        ),
        extension(
            "envoy.filters.http.sse_to_metadata",
            "envoy.extensions.filters.http.sse_to_metadata.v3.SseToMetadata",
            response_rules={
                "content_parser": extension(
                    "envoy.content_parsers.json",
                    "envoy.extensions.content_parsers.json.v3.JsonContentParser",
                    rules=[{"rule": rule} for rule in rules],
                ),
                "max_event_size": _EVENT_BYTES,
            },
        ),
    ]


def from_authorizer() -> Json:
    """Which headers of the authorizer's answer are kept as metadata."""
    return {"patterns": [{"prefix": METERED}]}


def usage_log(host: str) -> Json:
    """The access log that posts records of calls somebody may answer for; ``host`` is maas-api's.

    It goes by the cluster that the authorizer is asked by, which adds the shared secret.
    """
    attributes = {
        **{name: f"%DYNAMIC_METADATA({_AUTHZ}:{header})%" for name, header in SAID.items()},
        record.PATH: "%PATH(NQ:ORIG_OR_PATH)%",
        record.STATUS: "%RESPONSE_CODE%",
        record.FLAGS: "%RESPONSE_FLAGS%",
        record.DURATION: "%DURATION%",
        record.FIRST_EVENT: "%RESPONSE_DURATION%",
        **{record.USAGE + field: f"%DYNAMIC_METADATA({_NAMESPACE}:{field})%" for field in dialects.FIELDS},
    }
    known = {"filter": _AUTHZ, "path": [{"key": SAID[record.USER]}], "value": {"present_match": True}}
    log = extension(
        "envoy.access_loggers.open_telemetry",
        "envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig",
        http_service={
            "http_uri": {"uri": f"http://{host}{USAGE_PATH}", "cluster": clusters.AUTHORITY, "timeout": "5s"},
        },
        stat_prefix="maas_usage",
        disable_builtin_labels=True,
        buffer_flush_interval=_FLUSH_SECONDS,
        buffer_size_bytes=_BUFFER_BYTES,
        attributes={"values": [{"key": name, "value": {"string_value": text}} for name, text in attributes.items()]},
    )
    return {**log, "filter": {"metadata_filter": {"matcher": known, "match_if_key_not_found": False}}}
