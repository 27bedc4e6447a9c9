"""An access line made in the log's thread says what the log's own formatter would say, and keeps the same secrets."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maas_api.observability.accesslines import AccessLines
from maas_api.observability.logs import JsonFormatter
from maas_api.observability.redaction import Redactor
from maas_api.observability.requests import NOTED, Access, Context, Recorder

FIELDS = {"tenant_name": "acme", "tenant_namespace": 'n"s', "gateway_name": "gw"}
KEY = "sk-oai-abcdefghijklmnop_" + "Zz9" * 15
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def access(**given: Any) -> Access:
    usual = Access(1_800_000_000.25, "GET", "/v1/models", 200, 0.0123, "10.0.0.1", "r1", "", 0)
    return usual._replace(**given)


def line(of: Access, *secrets: str, paths: tuple[str, ...] = ()) -> dict[str, Any]:
    redactor = Redactor()
    redactor.remember(*secrets)
    text = AccessLines(FIELDS, paths, redactor).line(of)
    assert text.endswith("}\n")
    assert text.count("\n") == 1
    found: dict[str, Any] = json.loads(text)
    return found


def both_ways(
    caplog: pytest.LogCaptureFixture, path: str, headers: list[tuple[bytes, bytes]]
) -> tuple[dict[str, Any], ...]:
    """One request's line, by the log's formatter and by the thread."""
    caplog.set_level(logging.INFO, "maas_api.access")
    caplog.clear()
    taken: list[Access] = []
    call = ("GET", path, 200, 0.0123, "::1", Context(b"r.1", headers))
    Recorder(FIELDS, 1).line(*call)
    Recorder(FIELDS, 1, apart=lambda one: not taken.append(one)).line(*call)
    (record,) = caplog.records
    return json.loads(JsonFormatter(Redactor()).format(record)), line(taken[0])


HEADERS = [
    (b"authorization", b"x"),
    (b"x-maas-group", b"[]"),
    (b"traceparent", f"00-{TRACE}-00f067aa0ba902b7-01".encode()),
]


@pytest.mark.parametrize(
    "path", ["/v1/models", '/v1/models/a"b\\c\n\x00', "/v1/models/ünï", "/" + "a." * 3_000, f"/{KEY}"]
)
@pytest.mark.parametrize("headers", [[], HEADERS])
def test_a_line_is_the_same_whichever_way_it_is_made(
    caplog: pytest.LogCaptureFixture, path: str, headers: list[tuple[bytes, bytes]]
) -> None:
    usual, apart = both_ways(caplog, path, headers)
    assert usual["caller"].rpartition(":")[0] == apart["caller"].rpartition(":")[0]
    assert usual["timestamp"][:17] == apart["timestamp"][:17]
    assert len(usual["timestamp"]) == len(apart["timestamp"])
    for each in (usual, apart):
        del each["caller"], each["timestamp"]
    assert usual == apart


def test_a_moment_is_told_in_milliseconds_of_its_own_second() -> None:
    lines = AccessLines(FIELDS)
    for moment, told in ((1.0, "01.000"), (1.9999, "01.999"), (2.5, "02.500"), (1.25, "01.250")):
        assert json.loads(lines.line(access(moment=moment)))["timestamp"] == f"1970-01-01T00:00:{told}Z"


@pytest.mark.parametrize("noted", range(1 << len(NOTED)))
def test_each_header_that_came_is_told(noted: int) -> None:
    told = line(access(noted=noted))["auth_headers"]
    assert [name for name in NOTED if told[name] == "present"] == [
        name for place, name in enumerate(NOTED) if noted >> place & 1
    ]


@pytest.mark.parametrize("where", ["path", "request_id", "trace_id"])
def test_no_secret_gets_out_of_what_a_caller_chose(where: str) -> None:
    for secret in (KEY, "ab12" * 16, "remembered-secret"):
        said = json.dumps(line(access(**{where: secret}), "remembered-secret"))
        assert secret not in said
        assert "[redacted]" in said


def test_a_path_that_ends_in_a_header_s_name_takes_no_field_along() -> None:
    told = line(access(path="/x/authorization"))
    assert (told["path"], told["status"]) == ("/x/authorization", 200)


def test_a_path_of_the_service_s_own_is_told_as_it_is() -> None:
    path = "/internal/v1/api-keys/validate"
    assert line(access(path=path), paths=(path,))["path"] == path


@given(path=st.text(max_size=60), identifier=st.from_regex(r"[A-Za-z0-9._-]{1,40}", fullmatch=True))
def test_whatever_a_caller_sends_the_line_is_one_json_object(path: str, identifier: str) -> None:
    told = line(access(path=path, request_id=identifier))
    assert {"level", "timestamp", "caller", "message", "method", "status"} < told.keys()
    assert told["message"] == "request completed"
