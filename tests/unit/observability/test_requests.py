"""Request ids, traces, numbers and access lines."""

from __future__ import annotations

import logging
import re
import uuid

import pytest

from maas_api.observability import metrics, requests
from maas_api.observability.requests import PATH_SHOWN, Access, Context, Recorder
from maas_api.wire import Reply

OK = Reply(200, (), b'{"valid":true}')
INVALID = Reply(200, (), b'{"valid":false,"tenant":"","reason":"key not found"}')
TRACE, SPAN = b"4bf92f3577b34da6a3ce929d0e0e4736", b"00f067aa0ba902b7"


@pytest.mark.parametrize("given", [b"abc", b"A.b_c-1", b"x" * 128])
def test_a_proper_request_id_is_taken_over(given: bytes) -> None:
    assert requests.request_id([(b"host", b"x"), (b"x-request-id", given)]) == given


@pytest.mark.parametrize(
    "given", [b"", b"x" * 129, b"a b", b"a\n", b"a\r\nset-cookie: x", "é".encode(), b"a/b", b"a,b"]
)
def test_anything_else_is_replaced_by_a_fresh_uuid(given: bytes) -> None:
    made = requests.request_id([(b"x-request-id", given)])
    assert uuid.UUID(made.decode()).version == 4
    assert made != requests.request_id([])


def test_fresh_ids_are_version_4_uuids_and_differ() -> None:
    made = {requests.new_request_id().decode() for _ in range(1000)}
    assert len(made) == 1000
    for one in made:
        assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", one)


def test_a_well_formed_traceparent_is_joined() -> None:
    assert requests.trace_id([(b"traceparent", b"00-" + TRACE + b"-" + SPAN + b"-01")]) == TRACE.decode()


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"00-" + TRACE,
        b"ff-" + TRACE + b"-" + SPAN + b"-01",
        b"00-" + b"0" * 32 + b"-" + SPAN + b"-01",
        b"00-" + TRACE.upper() + b"-" + SPAN + b"-01",
        b"00-" + TRACE + b"-" + b"0" * 16 + b"-01",
    ],
)
def test_a_malformed_traceparent_is_ignored(wrong: bytes) -> None:
    assert requests.trace_id([(b"traceparent", wrong)]) == ""


def test_answers_are_counted_under_their_route_and_odd_methods_together() -> None:
    recorder = Recorder({}, 1)
    series = metrics.http_requests.labels("GET", "/counted", "200")
    other = metrics.http_requests.labels("other", "unmatched", "404")
    for _ in range(3):
        recorder.count("GET", "/counted", 200, 0.01)
        recorder.count("PROPFIND", "unmatched", 404, 0.01)
        recorder.count("MKCOL", "unmatched", 404, 0.01)
    assert sum(series.counts) == 3
    assert sum(other.counts) == 6


def test_the_hot_path_writes_one_line_in_so_many() -> None:
    recorder = Recorder({}, 0.01)
    assert sum(recorder.wants_line(OK, hot=True) for _ in range(1000)) == 10
    assert not any(Recorder({}, 0).wants_line(OK, hot=True) for _ in range(1000))
    assert all(Recorder({}, 1).wants_line(OK, hot=True) for _ in range(10))
    assert all(recorder.wants_line(OK, hot=False) for _ in range(10))


@pytest.mark.parametrize("reply", [INVALID, Reply(401, (), b""), Reply(403, (), b""), Reply(503, (), b"")])
def test_refused_calls_are_always_logged_but_a_flood_is_cut(reply: Reply) -> None:
    now = [100.0]
    recorder = Recorder({}, 0, clock=lambda: now[0])
    before = metrics.log_lines_suppressed.labels().value
    assert sum(recorder.wants_line(reply, hot=True) for _ in range(150)) == 100
    assert metrics.log_lines_suppressed.labels().value == before + 50
    now[0] += 1
    assert recorder.wants_line(reply, hot=True)


def test_a_flood_of_unknown_paths_and_malformed_bodies_is_cut_as_well() -> None:
    recorder = Recorder({}, 0, clock=lambda: 100.0)
    assert sum(recorder.wants_line(Reply(404, (), b""), hot=False) for _ in range(150)) == 100
    assert all(recorder.wants_line(OK, hot=False) for _ in range(150)), "what is done has its line"


def test_faults_are_always_logged() -> None:
    recorder = Recorder({}, 0)
    assert all(recorder.wants_line(Reply(503, (), b""), hot=False) for _ in range(500))
    assert all(recorder.wants_line(Reply(500, (), b""), hot=True) for _ in range(500))


def test_the_access_line_says_which_credentials_came_and_never_what_they_were(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    recorder = Recorder({"tenant_name": "acme", "tenant_namespace": "ns", "gateway_name": "gw"}, 1)
    headers = [(b"authorization", b"Bearer x"), (b"x-maas-group", b"[]")]
    recorder.line("GET", "/v1/models", 200, 0.0123, "10.0.0.1", Context(b"r1", headers))
    (record,) = caplog.records
    expected = {
        "method": "GET",
        "path": "/v1/models",
        "status": 200,
        "latency_ms": 12.3,
        "client_ip": "10.0.0.1",
        "request_id": "r1",
        "tenant_name": "acme",
        "tenant_namespace": "ns",
        "gateway_name": "gw",
        "auth_headers": {
            "Authorization": "present",
            "X-Api-Key": "absent",
            "Cookie": "absent",
            "Set-Cookie": "absent",
            "X-MaaS-Username": "absent",
            "X-MaaS-Group": "present",
        },
    }
    assert record.getMessage() == "request completed"
    assert {name: vars(record)[name] for name in expected} == expected


def test_the_access_line_does_not_repeat_a_path_without_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "maas_api.access")
    Recorder({}, 1).line("GET", "/v1/models/" + "a." * 30_000, 401, 0.1, "10.0.0.1", Context(b"r1"))
    (record,) = caplog.records
    assert vars(record)["path"].startswith("/v1/models/a.a.")
    assert len(vars(record)["path"]) <= PATH_SHOWN + 3


def test_lines_about_faults_go_the_way_of_all_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "maas_api.access")
    apart: list[Access] = []
    recorder = Recorder({}, 1, apart=lambda access: not apart.append(access))
    for status in (200, 404, 500, 503):
        recorder.line("GET", "/v1/models", status, 0.1, "10.0.0.1", Context(b"r1"))
    assert [access.status for access in apart] == [200, 404]
    assert [vars(record)["status"] for record in caplog.records] == [500, 503]


def test_what_a_line_is_made_of_holds_no_credential(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "maas_api.access")
    apart: list[Access] = []
    headers = [(name.lower().encode(), b"s3cret") for name in requests.NOTED]
    Recorder({}, 1, apart=lambda access: not apart.append(access)).line(
        "GET", "/v1/models", 200, 0.1, "10.0.0.1", Context(b"r1", headers)
    )
    assert "s3cret" not in repr(apart[0])
    assert apart[0].noted == 0b111111


def test_at_a_level_that_leaves_them_out_no_line_is_made(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "maas_api.access")
    apart: list[Access] = []
    recorder = Recorder({}, 1, apart=lambda access: not apart.append(access))
    recorder.line("GET", "/v1/models", 200, 0.1, "10.0.0.1", Context(b"r1"))
    assert (apart, caplog.records) == ([], [])
