"""The authorizer's question is answered before ASGI sees it, like a validation, whatever it says of a call."""

from __future__ import annotations

import pytest

from maas_api.wire import Reply
from tests.support.playbook import AUTHORIZER, Playbook
from tests.support.wire import http

COMPLETION = f"{AUTHORIZER}/v1/chat/completions"
YES = Reply(200, ((b"x-maas-username", b"alice"), (b"x-maas-route", b"external/openai")), b"")
NO = b'{"error":{"message":"no"}}'


def question(target: str = COMPLETION, method: str = "POST", *headers: str) -> bytes:
    return http(f"{method} {target} HTTP/1.1", "Host: x", *(headers or ("Content-Length: 0",)))


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_question_is_judged_and_answered(playbook: Playbook, method: str) -> None:
    talk = playbook(known=YES).receives(question(method=method)).judges(f"{method} {COMPLETION}")
    talk.sends(200, b"", x_maas_username="alice", x_maas_route="external/openai", content_length="0", connection=None)
    talk.stays_open()


def test_a_question_that_must_be_looked_up_is_answered_later(playbook: Playbook) -> None:
    talk = playbook().receives(question()).judges(f"POST {COMPLETION}").passes(0.05).answers(403, NO)
    talk.sends(403, NO, x_content_type_options="nosniff").stays_open()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 415, 429, 503])
def test_every_refusal_has_its_status(playbook: Playbook, status: int) -> None:
    talk = playbook(known=Reply(status, (), NO)).receives(question()).judges(f"POST {COMPLETION}")
    talk.sends(status, NO).stays_open()


def test_the_query_is_part_of_the_question(playbook: Playbook) -> None:
    target = f"{AUTHORIZER}/external/azure/openai/v1/responses?api-version=1?a"
    talk = playbook(known=YES).receives(question(target)).judges(f"POST {target}").sends(200).stays_open()
    assert talk


def test_questions_of_several_callers_do_not_mix(playbook: Playbook) -> None:
    other = f"{AUTHORIZER}/llm/a/v1/x"
    talk = playbook().receives(question() + question(other))
    talk.asks(f"POST {COMPLETION}").answers(200, b"1").sends(200, b"1").asks(f"POST {other}")
    talk.answers(200, b"2").sends(200, b"2")
    talk.receives(question()).judges(f"POST {COMPLETION}").receives(question(other)).answers(200, b"3")
    talk.sends(200, b"3").judges(f"POST {other}").answers(200, b"4").sends(200, b"4").stays_open()


@pytest.mark.parametrize(
    ("target", "asked"),
    [
        (f"{AUTHORIZER}/llm/caf%C3%A9/x", f"{AUTHORIZER}/llm/caf\u00e9/x"),
        (f"{AUTHORIZER}/llm/%2e%2e/x", f"{AUTHORIZER}/llm/../x"),
    ],
)
def test_an_escaped_path_takes_the_way_that_reads_it(playbook: Playbook, target: str, asked: str) -> None:
    playbook().receives(question(target)).asks(f"POST {asked}").answers(200).sends(200).stays_open()


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_rare_methods_take_the_way_of_all_requests(playbook: Playbook, method: str) -> None:
    talk = playbook().receives(question(method=method)).asks(f"{method} {COMPLETION}").answers(200)
    talk.sends(200, b"").stays_open()


def test_a_client_behind_a_gateway_is_not_told_of_it(playbook: Playbook) -> None:
    talk = playbook(known=YES).receives(question(COMPLETION, "POST", "X-Forwarded-For: 1.2.3.4"))
    talk.sends(404, "404 page not found").stays_open()


def test_only_who_knows_the_secret_may_ask(guarded: Playbook) -> None:
    known = ("Content-Length: 0", "X-MaaS-Internal-Secret: open sesame")
    talk = guarded(known=YES).receives(question()).sends(401)
    talk.receives(question(COMPLETION, "POST", *known)).judges(f"POST {COMPLETION}").sends(200).stays_open()
