"""Answers come in the order of their requests, whoever gives them; and a connection ends behind the last one due."""

from __future__ import annotations

import pytest

from maas_api.edge.connections.limits import LINGER_SECONDS, PARTING_SECONDS, WAITING_AT_MOST
from maas_api.observability import metrics
from tests.support.playbook import Playbook
from tests.support.wire import http

GET = http("GET /health HTTP/1.1", "Host: x")
MODELS = http("GET /v1/models?limit=1 HTTP/1.1", "Host: x")
LAST = http("GET /last HTTP/1.1", "Host: x", "Connection: close")
BAD = b"GET / HTTP/1.1\r\nBad Header\r\n\r\n"
VALIDATE = http("POST /internal/v1/api-keys/validate HTTP/1.1", "Host: x", "Content-Length: 2", body=b"{}")
CALLBACK = "POST /internal/v1/api-keys/validate"
BUSY = "too many connections, try again"


def test_two_requests_in_one_packet_are_two_requests(playbook: Playbook) -> None:
    talk = playbook().receives(GET + MODELS).asks("GET /health").answers(200, b"1").sends(200, b"1")
    talk.asks("GET /v1/models?limit=1").answers(200, b"2").sends(200, b"2").stays_open()


def test_a_request_in_many_packets_is_one_request(playbook: Playbook) -> None:
    talk = playbook()
    for number in range(len(GET)):
        talk.receives(GET[number : number + 1])
    talk.asks("GET /health").answers(200).sends(200).stays_open()


def test_the_second_is_asked_about_only_when_the_first_is_answered(playbook: Playbook) -> None:
    talk = playbook().receives(GET).asks("GET /health").receives(MODELS).passes(30)
    talk.answers(200, b"1").sends(200, b"1").asks("GET /v1/models?limit=1").answers(200, b"2").sends(
        200, b"2"
    ).stays_open()


def test_a_validation_behind_another_request_waits_for_its_turn(playbook: Playbook) -> None:
    talk = playbook().receives(GET + VALIDATE + GET).asks("GET /health").answers(200, b"1").sends(200, b"1")
    talk.asks(CALLBACK, b"{}").answers(200, b"2").sends(200, b"2")
    talk.asks("GET /health").answers(200, b"3").sends(200, b"3").stays_open()


def test_a_request_behind_a_validation_waits_for_its_turn(playbook: Playbook) -> None:
    talk = playbook().receives(VALIDATE + GET).asks(CALLBACK, b"{}").answers(200, b"1").sends(200, b"1")
    talk.asks("GET /health").answers(200, b"2").sends(200, b"2").stays_open()


def test_a_request_that_comes_before_a_verdict_waits_for_its_turn(playbook: Playbook) -> None:
    talk = playbook().receives(VALIDATE).validates(b"{}").receives(GET[:7]).receives(GET[7:])
    talk.answers(200, b"1").sends(200, b"1").asks("GET /health").answers(200, b"2").sends(200, b"2").stays_open()


def test_a_bad_request_that_comes_before_a_verdict_does_not_cost_it(playbook: Playbook) -> None:
    talk = playbook().receives(VALIDATE).validates(b"{}").receives(BAD).answers(200, b"1").sends(200, b"1")
    talk.sends(400, "malformed HTTP request").half_closes().client_leaves()


def test_what_follows_a_last_request_is_not_run(playbook: Playbook) -> None:
    playbook().receives(LAST + GET).asks("GET /last").answers(200).sends(200, connection="close").closes()


def test_a_bad_request_behind_a_good_one_does_not_cost_the_good_one_its_answer(playbook: Playbook) -> None:
    talk = playbook().receives(GET + BAD).asks("GET /health").passes(20).answers(200, b"ok")
    talk.sends(200, b"ok").sends(400, "malformed HTTP request").half_closes().passes(LINGER_SECONDS).aborts()


def test_a_bad_request_behind_several_waits_for_all_their_answers(playbook: Playbook) -> None:
    talk = playbook().receives(GET + MODELS + BAD).asks("GET /health").answers(200, b"1").sends(200, b"1")
    talk.asks("GET /v1/models?limit=1").answers(200, b"2").sends(200, b"2")
    talk.sends(400, "malformed HTTP request").half_closes().client_leaves()


def test_what_waits_behind_an_answer_is_bounded(playbook: Playbook) -> None:
    """As many are answered as are carried out; then the connection ends, without a word that could pass for one."""
    talk = playbook().receives(GET * 3000)
    for _ in range(WAITING_AT_MOST + 1):
        talk.asks("GET /health").answers(200).sends(200)
    talk.half_closes().passes(LINGER_SECONDS).aborts()


def test_a_pipeline_within_the_bound_is_answered_whole_and_the_connection_stays(playbook: Playbook) -> None:
    talk = playbook().receives(GET * (WAITING_AT_MOST + 1))
    for _ in range(WAITING_AT_MOST + 1):
        talk.asks("GET /health").answers(200).sends(200)
    talk.stays_open()


def test_a_client_that_leaves_has_its_request_carried_out_and_is_told_nothing(playbook: Playbook) -> None:
    playbook().receives(GET).asks("GET /health").client_leaves()
    playbook().receives(GET).asks("GET /health").client_vanishes().answers(200).client_leaves()


def test_a_client_that_leaves_amid_a_body_has_nothing_carried_out(playbook: Playbook) -> None:
    half = http("POST /v1/api-keys HTTP/1.1", "Host: x", "Content-Length: 9", body=b"{")
    playbook().receives(half).client_vanishes().gives_up("POST /v1/api-keys").client_leaves()


# The worker ends.


def test_an_idle_connection_ends_with_the_worker(playbook: Playbook) -> None:
    playbook().server_stops().passes(PARTING_SECONDS).closes()
    playbook().receives(GET).asks("GET /health").answers(200).sends(200).server_stops().closes()


@pytest.mark.parametrize("request_", [GET, VALIDATE], ids=["asked", "looked up"])
def test_a_request_under_way_is_answered_before_the_worker_ends(playbook: Playbook, request_: bytes) -> None:
    talk = playbook().receives(request_)
    talk = talk.asks("GET /health") if request_ == GET else talk.validates(b"{}")
    talk.server_stops().answers(200, b"ok").sends(200, b"ok").closes()


def test_a_validation_half_received_is_answered_before_the_worker_ends(playbook: Playbook) -> None:
    talk = playbook().receives(VALIDATE[:-1]).server_stops().receives(VALIDATE[-1:]).asks(CALLBACK, b"{}")
    talk.answers(200, b"ok").sends(200, b"ok", connection="close").closes()


# TLS, whose end takes two.


def test_over_tls_a_refusal_closes_and_does_not_wait_for_ever(playbook: Playbook) -> None:
    talk = playbook(tls=True).receives(b"GET /hea").passes(2).sends(408, "request headers took longer than 2 s")
    talk.closes().passes(LINGER_SECONDS).aborts()


def test_over_tls_a_client_that_parts_in_good_manner_is_not_cut_off(playbook: Playbook) -> None:
    playbook(tls=True).server_stops().passes(PARTING_SECONDS).closes().client_leaves()


def test_over_tls_an_idle_client_does_not_hold_up_the_worker_s_end(playbook: Playbook) -> None:
    playbook(tls=True).server_stops().passes(PARTING_SECONDS).closes().passes(PARTING_SECONDS).aborts()


# More connections than there may be (four).


def test_the_silent_give_way_the_longest_first(playbook: Playbook) -> None:
    held = [playbook().passes(1) for _ in range(4)]
    new = playbook().receives(GET).asks("GET /health")
    held[0].closes()
    new.answers(200).sends(200).stays_open()
    for other in held[1:]:
        other.stays_open()


@pytest.mark.parametrize(
    "said", [b"GET /health HT", http("POST /v1/api-keys HTTP/1.1", "Host: x", "Content-Length: 9", body=b"{")]
)
def test_the_silent_give_way_before_others_that_ask_for_nothing(playbook: Playbook, said: bytes) -> None:
    unfinished, silent = playbook().receives(said).passes(1), playbook()
    idle = playbook().receives(GET).asks("GET /health").answers(200).sends(200)
    busy = playbook().receives(GET).asks("GET /health")
    new = playbook()
    (unfinished if said.startswith(b"GET") else silent).closes()
    for other in (silent if said.startswith(b"GET") else unfinished, idle, new):
        other.stays_open()
    busy.answers(200).sends(200).stays_open()


def test_with_every_connection_at_work_one_more_is_503(playbook: Playbook) -> None:
    before = metrics.refusals.labels("connections").value
    busy = [playbook().receives(GET).asks("GET /health") for _ in range(4)]
    playbook().receives(MODELS).sends(503, BUSY, retry_after="1", connection="close").closes()
    for other in busy:
        other.answers(200).sends(200).stays_open()
    assert metrics.refusals.labels("connections").value == before + 1


@pytest.mark.parametrize("probe", ["/health", "/healthz", "/readyz"])
def test_with_every_connection_at_work_probes_and_the_callback_are_still_served(playbook: Playbook, probe: str) -> None:
    busy = [playbook().receives(GET).asks("GET /health") for _ in range(4)]
    one_more = playbook().receives(http(f"GET {probe} HTTP/1.1", "Host: x")).asks(f"GET {probe}")
    playbook().receives(VALIDATE).validates(b"{}").answers(200).sends(200).stays_open()
    for other in (*busy, one_more):
        other.answers(200).sends(200).stays_open()


def test_far_above_the_limit_connections_are_dropped_unheard(playbook: Playbook) -> None:
    busy = [playbook().receives(GET).asks("GET /health") for _ in range(8)]
    playbook().aborts()
    for other in busy:
        other.answers(200).sends(200).stays_open()
