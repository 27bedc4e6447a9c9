"""No client holds more of the server than its share of time and bytes."""

from __future__ import annotations

import pytest

from maas_api.edge.connections.limits import HEADERS_AT_MOST, LINGER_SECONDS
from tests.support.playbook import Playbook
from tests.support.wire import http

GET = http("GET /health HTTP/1.1", "Host: x")
MINT = http("POST /v1/api-keys HTTP/1.1", "Host: x", "Content-Length: 20")
VALIDATE = http("POST /internal/v1/api-keys/validate HTTP/1.1", "Host: x", "Content-Length: 20")
LATE_HEAD = "request headers took longer than 2 s"
LATE_BODY = "the request took longer than 5 s"
LARGE = "request line and headers must not exceed 1000 bytes"


@pytest.mark.parametrize("sent", [b"G", b"GET /health HTTP/1.1\r\n", b"GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_headers_that_trickle_are_408(playbook: Playbook, sent: bytes) -> None:
    talk = playbook().receives(sent).passes(2)
    talk.sends(408, LATE_HEAD, connection="close").half_closes().passes(LINGER_SECONDS).aborts()


def test_a_byte_now_and_then_does_not_put_the_end_off(playbook: Playbook) -> None:
    talk = playbook().passes(50).receives(b"GET /health HT").passes(1).receives(b"TP/1.1\r\n")
    talk.passes(1).sends(408, LATE_HEAD).half_closes().client_leaves()


def test_headers_that_come_in_time_are_a_request(playbook: Playbook) -> None:
    talk = playbook().receives(GET[:10]).passes(1.9).receives(GET[10:]).asks("GET /health")
    talk.passes(100).answers(200, b"at last").sends(200, b"at last").stays_open()


def test_a_body_that_trickles_is_408_and_its_handler_says_nothing_more(playbook: Playbook) -> None:
    talk = playbook().receives(MINT + b"{").passes(4.5).receives(b'"').passes(0.5)
    talk.sends(408, LATE_BODY, connection="close").half_closes().gives_up("POST /v1/api-keys").client_leaves()


def test_a_validation_that_trickles_is_408_and_no_key_is_looked_up(playbook: Playbook) -> None:
    talk = playbook().receives(VALIDATE + b"{").passes(5).sends(408, LATE_BODY).half_closes()
    talk.gives_up("POST /internal/v1/api-keys/validate").client_leaves()


def test_a_body_that_comes_in_time_is_read_whole(playbook: Playbook) -> None:
    talk = playbook().receives(MINT + b'{"name":').passes(4.9).receives(b'  "a laptop"')
    talk.asks("POST /v1/api-keys", b'{"name":  "a laptop"').answers(201, b"{}").sends(201, b"{}").stays_open()


def test_a_connection_that_never_speaks_is_closed(playbook: Playbook) -> None:
    playbook().passes(60).aborts()


def test_a_connection_that_says_nothing_more_is_closed(playbook: Playbook) -> None:
    playbook().receives(GET).asks("GET /health").answers(200).sends(200).passes(60).closes()


def test_each_request_on_a_kept_connection_starts_the_clock_anew(playbook: Playbook) -> None:
    talk = playbook()
    for _ in range(3):
        talk.receives(GET).asks("GET /health").answers(200).sends(200).passes(59)
    talk.stays_open()


def test_a_slow_second_request_on_a_kept_connection_is_408(playbook: Playbook) -> None:
    talk = playbook().receives(GET + b"GET /hea").asks("GET /health").answers(200).sends(200)
    talk.passes(2).sends(408, LATE_HEAD).half_closes().client_leaves()


def test_the_408_of_a_second_request_waits_for_the_answer_to_the_first(playbook: Playbook) -> None:
    """Sent before it, it would pass for that answer."""
    talk = playbook().receives(GET + b"GET /hea").asks("GET /health").passes(2).passes(10)
    talk.answers(200, b"ok").sends(200, b"ok").sends(408, LATE_HEAD).half_closes().client_leaves()


def test_headers_above_the_limit_are_431_naming_it(playbook: Playbook) -> None:
    whole = http("GET /health HTTP/1.1", "Host: x", "X-Big: " + "a" * 1000)
    playbook().receives(whole).sends(431, LARGE, connection="close").closes()


def test_headers_without_an_end_are_431_as_soon_as_they_are_above_the_limit(playbook: Playbook) -> None:
    talk = playbook().receives(b"GET /health HTTP/1.1\r\nX-Big: " + b"a" * 900).receives(b"a" * 100)
    talk.sends(431, LARGE, connection="close").half_closes().receives(b"a" * 5000).client_leaves()


def test_a_long_target_counts_as_headers_do(playbook: Playbook) -> None:
    playbook().receives(b"GET /" + b"a" * 1000).sends(431, LARGE).half_closes().client_leaves()


def test_many_small_headers_count_together(playbook: Playbook) -> None:
    many = [f"X-{number}: aaaaaaaaaa" for number in range(100)]
    playbook().receives(http("GET /health HTTP/1.1", "Host: x", *many)).sends(431, LARGE).closes()


def test_headers_without_end_in_number_are_431_however_short(playbook: Playbook) -> None:
    many = http("GET /health HTTP/1.1", "Host: x", *["a:"] * HEADERS_AT_MOST)
    message = f"a request must not have more than {HEADERS_AT_MOST} headers"
    playbook().receives(many).sends(431, message).half_closes().client_leaves()


def test_headers_below_the_limit_pass(playbook: Playbook) -> None:
    big = http("GET /health HTTP/1.1", "Host: x", "X-Big: " + "a" * 900)
    playbook().receives(big).asks("GET /health").answers(200).sends(200).stays_open()


def test_each_request_s_headers_are_counted_by_themselves(playbook: Playbook) -> None:
    big = http("GET /health HTTP/1.1", "Host: x", "X-Big: " + "a" * 900)
    talk = playbook().receives(big + big).asks("GET /health").answers(200).sends(200)
    talk.asks("GET /health").answers(200).sends(200).stays_open()


@pytest.mark.parametrize("pieces", [1, 2, 50])
def test_a_long_body_behind_short_headers_is_not_mistaken_for_headers(playbook: Playbook, pieces: int) -> None:
    body = b"a" * 5000
    talk = playbook()
    request = http("POST /v1/api-keys HTTP/1.1", "Host: x", "Content-Length: 5000", body=body)
    size = len(request) // pieces + 1
    for start in range(0, len(request), size):
        talk.receives(request[start : start + size])
    talk.asks("POST /v1/api-keys", body).answers(200).sends(200).stays_open()


def test_a_client_that_does_not_read_its_answer_is_cut_off(playbook: Playbook) -> None:
    talk = playbook().receives(GET).asks("GET /health").client_stops_reading().answers(200)
    talk.passes(3).aborts()


def test_a_client_that_reads_on_in_time_gets_its_answer(playbook: Playbook) -> None:
    talk = playbook().receives(GET).asks("GET /health").client_stops_reading().answers(200, b"ok")
    talk.passes(2.9).client_reads_on().sends(200, b"ok").passes(10).stays_open()


def test_a_client_that_stops_reading_again_has_the_whole_time_again(playbook: Playbook) -> None:
    talk = playbook().client_stops_reading().passes(2).client_reads_on().passes(2).client_stops_reading()
    talk.passes(3).aborts()


def test_an_idle_connection_ends_a_while_after_its_last_answer(playbook: Playbook) -> None:
    talk = playbook()
    for _ in range(3):
        talk.receives(GET).asks("GET /health").answers(200).sends(200).passes(59.9)
    talk.passes(0.1).closes()


def test_a_connection_is_not_idle_while_it_is_answered(playbook: Playbook) -> None:
    talk = playbook().receives(GET).asks("GET /health").answers(200).sends(200).passes(1)
    talk.receives(GET).asks("GET /health").passes(100).answers(200).sends(200).passes(59.9).stays_open()


def test_a_connection_is_not_idle_while_a_request_arrives(playbook: Playbook) -> None:
    talk = playbook().receives(GET).asks("GET /health").answers(200).sends(200).passes(59)
    talk.receives(GET[:5]).passes(1.9).receives(GET[5:]).asks("GET /health").answers(200).sends(200).stays_open()


def test_an_idle_client_that_has_not_read_its_last_answer_is_cut_off(playbook: Playbook) -> None:
    talk = playbook().receives(GET).asks("GET /health").answers(200).sends(200).passes(59).client_stops_reading()
    talk.passes(1).closes().passes(2).aborts()


def test_after_a_refusal_the_client_is_heard_out_and_nothing_it_says_is_done(playbook: Playbook) -> None:
    """Closed at once, the connection would be reset under an answer that is not read yet."""
    talk = playbook().receives(b"GET /hea").passes(2).sends(408, LATE_HEAD).half_closes()
    talk.receives(b"lth HTTP/1.1\r\nHost: x\r\n\r\n").receives(GET).passes(LINGER_SECONDS).aborts()


def test_a_refusal_says_what_it_is_and_forbids_sniffing(playbook: Playbook) -> None:
    json = {"content_type": "application/json; charset=utf-8", "x_content_type_options": "nosniff", "server": None}
    talk = playbook().receives(b"GET /hea").passes(2)
    talk.sends(408, LATE_HEAD, **json, date="Thu, 01 Jan 1970 00:00:00 GMT").half_closes().client_leaves()
