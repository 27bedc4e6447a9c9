"""What Envoy tells of each call: the numbers of the provider's usage object, read from the answer as it passes, and the
record that goes to ``POST /internal/v1/usage`` when the call is over.

``usage.lua`` beside this file reads answers in the pieces in which they arrive and holds nothing back. It writes each
number under its path; of a stream the last event that says one counts. Who called, and what, comes from the
authorizer's answer as dynamic metadata, so that none of it travels to a model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Final

from maas_api.gateway.envoy.xds import Json, extension
from maas_api.gateway.quota import METERED, SAID
from maas_api.usage import dialects, record

USAGE_PATH: Final = "/internal/v1/usage"
AUTHZ: Final = "envoy.filters.http.ext_authz"
"""The namespace of the metadata in which Envoy's ext_authz keeps headers of the authorizer's answer."""
FILTER: Final = "maas-usage"
NAMESPACE: Final = "maas.usage"
TOTAL: Final = "total"
"""What a call took altogether: input, with what was cached, and output."""
FLUSH_SECONDS: Final = "0.5s"
BUFFER_BYTES: Final = 65536
"""Records wait for so long, or until there are so many bytes of them; a batch keeps to the service's own bound."""


def usage_reader(caller: str = AUTHZ, before: str = "") -> Json:
    """The filter that reads answers, of calls whose caller is known by the metadata ``caller``. ``before`` is Lua code
    that runs with it."""
    code = {"inline_string": source(caller) + before}
    # Under a name of its own: routes that read no body switch off the other one.
    return extension(FILTER, "envoy.extensions.filters.http.lua.v3.Lua", default_source_code=code)


@cache
def source(caller: str = AUTHZ) -> str:
    """The filter's code."""
    given: Mapping[str, str | tuple[str, ...]] = {
        "PLACES": dialects.PLACES,
        "FIELDS": dialects.FIELDS,
        "INPUT": dialects.INPUT,
        "OUTPUT": dialects.OUTPUT,
        "BESIDE": dialects.BESIDE_INPUT,
        "CALLER": caller,
        "USER": SAID[record.USER],
        "NAMESPACE": NAMESPACE,
        "TOTAL": TOTAL,
    }
    head = "".join(f"local {name} = {_lua(value)}\n" for name, value in given.items())
    return head + resources.files("maas_api.gateway.envoy").joinpath("usage.lua").read_text("utf-8")


def _lua(value: str | tuple[str, ...]) -> str:
    if isinstance(value, str):
        return json.dumps(value)
    return "{ " + ", ".join(json.dumps(item) for item in value) + " }"


def from_authorizer() -> Json:
    """Which headers of the authorizer's answer are kept as metadata."""
    return {"patterns": [{"prefix": METERED}]}


def attributes(caller: str = AUTHZ) -> dict[str, str]:
    """Attribute of a usage record -> what Envoy writes there."""
    return {
        **{name: f"%DYNAMIC_METADATA({caller}:{header})%" for name, header in SAID.items()},
        record.PATH: "%PATH(NQ:ORIG_OR_PATH)%",
        record.STATUS: "%RESPONSE_CODE%",
        record.FLAGS: "%RESPONSE_FLAGS%",
        record.DURATION: "%DURATION%",
        record.FIRST_EVENT: "%RESPONSE_DURATION%",
        **{record.USAGE + field: f"%DYNAMIC_METADATA({NAMESPACE}:{field})%" for field in dialects.FIELDS},
    }


def usage_log(host: str, cluster: str, seconds: int) -> Json:
    """The access log that posts records of calls somebody may answer for; ``host`` is maas-api's. A batch may take
    ``seconds`` to be taken."""
    uri = {"uri": f"http://{host}{USAGE_PATH}", "cluster": cluster, "timeout": f"{seconds}s"}
    to = {
        "http_service": {"http_uri": uri},
        "buffer_flush_interval": FLUSH_SECONDS,
        "buffer_size_bytes": BUFFER_BYTES,
    }
    return otlp_log(AUTHZ, attributes(), to)


def otlp_log(caller: str, said: Mapping[str, str], to: Json) -> Json:
    """An OTLP access log of calls whose caller is known by the metadata ``caller``: attribute -> what Envoy writes
    there; ``to`` says where it goes."""
    known = {"filter": caller, "path": [{"key": SAID[record.USER]}], "value": {"present_match": True}}
    log = extension(
        "envoy.access_loggers.open_telemetry",
        "envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig",
        **to,
        stat_prefix="maas_usage",
        disable_builtin_labels=True,
        attributes={"values": [{"key": name, "value": {"string_value": text}} for name, text in said.items()]},
    )
    return {**log, "filter": {"metadata_filter": {"matcher": known, "match_if_key_not_found": False}}}
