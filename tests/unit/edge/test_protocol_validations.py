"""A validation is answered before ASGI sees it; one with anything unusual about it takes the way of all requests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from maas_api.edge.connections.doorstep import Inside
from maas_api.edge.connections.limits import KEPT_BYTES
from maas_api.wire import JSON, Reply
from tests.support.asked import LOOKUP_SECONDS
from tests.support.playbook import Playbook
from tests.support.wire import http

CALLBACK = "POST /internal/v1/api-keys/validate"
LINE = f"{CALLBACK} HTTP/1.1"
BODY = b'{"key":"x"}'
LENGTH = f"Content-Length: {len(BODY)}"
VALIDATE = http(LINE, "Host: x", LENGTH, body=BODY)
SECOND = http(LINE, "Host: x", "Content-Length: 2", body=b"{}")
MODELS = http("GET /v1/models HTTP/1.1", "Host: x")
GOOD = b'{"valid":true}'
NOT_FOUND = "404 page not found"


def test_a_validation_is_looked_up_and_answered(playbook: Playbook) -> None:
    talk = playbook().receives(VALIDATE).validates(BODY).passes(0.05).answers(200, GOOD)
    said = {"content_type": "application/json; charset=utf-8", "x_content_type_options": "nosniff", "server": None}
    talk.sends(200, GOOD, **said, connection=None, date="Thu, 01 Jan 1970 00:00:00 GMT").stays_open()


def test_a_verdict_that_is_known_is_sent_at_once(playbook: Playbook) -> None:
    talk = playbook(known=Reply(200, (JSON,), GOOD))
    for _ in range(3):
        talk.receives(VALIDATE).validates(BODY).sends(200, GOOD)
    talk.stays_open()


def test_several_in_one_packet_are_answered_in_order(playbook: Playbook) -> None:
    talk = playbook().receives(VALIDATE * 2).asks(CALLBACK, BODY).answers(200, b"1").sends(200, b"1")
    talk.asks(CALLBACK, BODY).answers(200, b"2").sends(200, b"2").stays_open()


def test_one_that_comes_before_the_answer_to_another_waits_for_it(playbook: Playbook) -> None:
    talk = playbook().receives(VALIDATE).validates(BODY).receives(SECOND).receives(VALIDATE[:-1]).receives(b"}")
    talk.answers(200, b"1").sends(200, b"1").validates(b"{}").answers(200, b"2").sends(200, b"2")
    talk.asks(CALLBACK, BODY).answers(200, b"3").sends(200, b"3")
    talk.receives(SECOND).validates(b"{}").answers(200, b"4").sends(200, b"4").stays_open()


def test_a_lone_one_that_comes_before_the_answer_to_another_is_looked_up_behind_it(playbook: Playbook) -> None:
    talk = playbook().receives(VALIDATE).validates(BODY).receives(SECOND).passes(LOOKUP_SECONDS / 2)
    talk.answers(200, b"1").sends(200, b"1").validates(b"{}").answers(200, b"2").sends(200, b"2").stays_open()


def test_a_body_in_pieces_is_one_body(playbook: Playbook) -> None:
    talk = playbook().receives(VALIDATE[:-5]).receives(VALIDATE[-5:-1]).receives(VALIDATE[-1:])
    talk.asks(CALLBACK, BODY).answers(200, GOOD).sends(200, GOOD).stays_open()


def test_one_behind_a_request_of_another_kind_is_looked_up(playbook: Playbook) -> None:
    talk = playbook(known=Reply(200, (JSON,), GOOD))
    for _ in range(3):
        talk.receives(MODELS).asks("GET /v1/models").answers(200, b"[]").sends(200, b"[]")
        talk.receives(VALIDATE).validates(BODY).sends(200, GOOD).receives(VALIDATE).validates(BODY).sends(200, GOOD)
    talk.receives(VALIDATE[:9]).passes(1).receives(VALIDATE[9:]).asks(CALLBACK, BODY).answers(200).sends(200)
    talk.receives(VALIDATE).validates(BODY).sends(200, GOOD).passes(60).closes()


def test_what_only_begins_like_one_is_the_application_s_on_the_connection_s_one_reader(playbook: Playbook) -> None:
    made: list[Inside] = []
    enter = playbook.house.enter

    def counted(out: Callable[[bytes], bool]) -> Inside:
        made.append(enter(out))
        return made[-1]

    playbook.house = playbook.house._replace(enter=counted)
    talk = playbook()
    for path in ("/internal/v1/usage", "/internal/v1/nothing"):
        for _ in range(2):
            talk.receives(http(f"POST {path} HTTP/1.1", "Host: x", "Content-Length: 2", body=b"{}"))
            talk.asks(f"POST {path}", b"{}").answers(200).sends(200)
    assert len(made) == 1
    talk.receives(VALIDATE).validates(BODY).answers(200, GOOD).sends(200, GOOD).stays_open()


def test_one_behind_a_request_of_another_kind_waits_for_that_one_s_answer(playbook: Playbook) -> None:
    talk = playbook().receives(MODELS).asks("GET /v1/models").receives(VALIDATE).answers(200, b"[]").sends(200, b"[]")
    talk.asks(CALLBACK, BODY).answers(200, GOOD).sends(200, GOOD).stays_open()


def test_nothing_is_looked_up_for_a_client_that_does_not_read_its_answers(playbook: Playbook) -> None:
    talk = playbook(known=Reply(200, (JSON,), GOOD)).receives(VALIDATE).validates(BODY).sends(200, GOOD)
    talk.client_stops_reading().receives(VALIDATE).passes(2.9).client_reads_on().validates(BODY).sends(200, GOOD)
    talk.passes(3).stays_open()
    talk.client_stops_reading().passes(3).aborts()


def test_an_idle_client_that_has_not_read_its_last_verdict_is_cut_off(playbook: Playbook) -> None:
    talk = playbook(known=Reply(200, (JSON,), GOOD)).receives(VALIDATE).validates(BODY).sends(200, GOOD)
    talk.passes(59).client_stops_reading().passes(1).closes().passes(2).aborts()


def test_a_connection_is_idle_from_its_last_verdict_on(playbook: Playbook) -> None:
    talk = playbook().receives(VALIDATE).validates(BODY).passes(0.05).answers(200, GOOD).sends(200, GOOD)
    talk.passes(40).receives(VALIDATE).validates(BODY).answers(200, GOOD).sends(200, GOOD)
    talk.passes(59.9).passes(0.1).closes()


def test_a_lookup_that_takes_too_long_is_503_without_a_body(playbook: Playbook) -> None:
    """Authorino ignores the status and remembers whatever parses."""
    talk = playbook().receives(VALIDATE).validates(BODY).passes(LOOKUP_SECONDS)
    talk.sends(503, b"", content_type="application/json; charset=utf-8", content_length="0").stays_open()


def test_an_answer_that_comes_after_that_is_not_sent(playbook: Playbook) -> None:
    talk = playbook().receives(VALIDATE).validates(BODY).passes(LOOKUP_SECONDS).sends(503)
    talk.answers(200, GOOD).receives(VALIDATE).validates(BODY).answers(200, b"{}").sends(200, b"{}").stays_open()


def test_an_answer_for_a_client_that_is_gone_is_not_sent(playbook: Playbook) -> None:
    playbook().receives(VALIDATE).validates(BODY).client_vanishes().answers(200, GOOD).client_vanishes()


def test_the_callback_s_own_wish_to_end_is_met(playbook: Playbook) -> None:
    talk = playbook().receives(http(LINE, "Host: x", "Connection: close", LENGTH, body=BODY)).validates(BODY)
    talk.answers(200, GOOD).sends(200, GOOD, connection="close").closes()


def test_a_worker_that_drains_ends_the_connection_with_the_answer(playbook: Playbook) -> None:
    playbook.draining = True
    playbook().receives(VALIDATE).validates(BODY).answers(200, GOOD).sends(200, GOOD, connection="close").closes()


def test_the_request_id_is_echoed(playbook: Playbook) -> None:
    talk = playbook().receives(http(LINE, "Host: x", "X-Request-ID: abc.1", LENGTH, body=BODY)).validates(BODY)
    talk.answers(200, GOOD).sends(200, GOOD, x_request_id="abc.1").stays_open()


def test_the_audiences_of_a_platform_token_are_nothing_unusual(playbook: Playbook) -> None:
    talk = playbook().receives(http(f"{CALLBACK}?audience=a HTTP/1.1", "Host: x", LENGTH, body=BODY)).validates(BODY)
    talk.answers(200, GOOD).sends(200, GOOD).stays_open()


UNUSUAL = {
    "another method": (
        http("PUT /internal/v1/api-keys/validate HTTP/1.1", "Host: x"),
        "PUT /internal/v1/api-keys/validate",
    ),
    "an escaped path": (http("POST /internal/v1/api-keys/%76alidate HTTP/1.1", "Host: x"), CALLBACK),
    "an offer to upgrade": (
        http(LINE, "Host: x", "Connection: Upgrade", "Upgrade: h2c", "Content-Length: 0"),
        CALLBACK,
    ),
}


@pytest.mark.parametrize("shape", UNUSUAL)
def test_what_is_unusual_is_the_application_s(playbook: Playbook, shape: str) -> None:
    sent, asked = UNUSUAL[shape]
    playbook().receives(sent).asks(asked).answers(200, GOOD).sends(200, GOOD).stays_open()


def test_who_waits_for_leave_to_send_its_body_gets_it(playbook: Playbook) -> None:
    talk = playbook().receives(http(LINE, "Host: x", "Expect: 100-continue", LENGTH)).sends(100).receives(BODY)
    talk.asks(CALLBACK, BODY).answers(200, GOOD).sends(200, GOOD).stays_open()


def test_a_body_announced_too_long_is_the_application_s(playbook: Playbook) -> None:
    body = b"a" * 10_000
    talk = playbook().receives(http(LINE, "Host: x", f"Content-Length: {len(body)}", body=body))
    talk.asks(CALLBACK, body).answers(400).sends(400).stays_open()


def test_a_body_that_turns_out_too_long_is_the_application_s_from_its_first_byte_on(playbook: Playbook) -> None:
    body = b"a" * (KEPT_BYTES + 1)
    talk = playbook().receives(http(LINE, "Host: x", "Transfer-Encoding: chunked"))
    talk.receives(b"%x\r\n" % len(body) + body[:2000]).receives(body[2000:] + b"\r\n0\r\n\r\n")
    talk.asks(CALLBACK, body).answers(400).sends(400).stays_open()


def test_the_longest_body_of_a_validation_is_looked_up(playbook: Playbook) -> None:
    body = b"a" * KEPT_BYTES
    talk = playbook().receives(http(LINE, "Host: x", f"Content-Length: {len(body)}", body=body)).validates(body)
    talk.answers(200, GOOD).sends(200, GOOD).stays_open()


@pytest.mark.parametrize("header", ["X-Forwarded-For: 1.1.1.1", "X-Envoy-Original-Path: /maas-api/internal"])
def test_a_request_that_came_through_a_gateway_finds_nothing_here(playbook: Playbook, header: str) -> None:
    talk = playbook().receives(http(LINE, "Host: x", header, LENGTH, body=BODY))
    talk.sends(404, NOT_FOUND, content_type="application/json; charset=utf-8").stays_open()


def test_without_the_shared_secret_nothing_is_looked_up_nor_said_that_could_be_cached(guarded: Playbook) -> None:
    secret = "X-MaaS-Internal-Secret:"
    talk = guarded()
    for header in ("X-Other: 1", f"{secret} sesame", f"{secret}", f"{secret} open sesame s"):
        talk.receives(http(LINE, "Host: x", header, LENGTH, body=BODY)).sends(401, b"", content_length="0")
    talk.receives(http(LINE, "Host: x", f"{secret} open sesame", LENGTH, body=BODY))
    talk.validates(BODY).answers(200, GOOD).sends(200, GOOD).stays_open()
