"""A playbook that is not what happens fails, says where, and shows the rest; and it cannot be left unfinished."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from maas_api.edge.connections.limits import PARTING_SECONDS, Limits
from tests.support.playbook import Connection, Playbook
from tests.support.wire import http, split_answer

LIMITS = Limits(header_bytes=1000, header_seconds=2, request_seconds=5, write_seconds=3, idle_seconds=60, connections=4)
GET = http("GET /health HTTP/1.1", "Host: x")


def failure(play: Callable[[Playbook], object]) -> str:
    """What is said of a playbook that is not what happens."""
    server = Playbook(LIMITS)

    def whole() -> None:
        try:
            play(server)
        finally:
            server.end()

    with pytest.raises(AssertionError) as caught:
        whole()
    return str(caught.value)


WRONG: dict[str, tuple[Callable[[Connection], object], str, str]] = {
    "another status": (lambda talk: talk.sends(400, "headers"), "sends 400 ", "sends 408 "),
    "another body": (lambda talk: talk.sends(408, "too late"), "too late", "longer than 2 s"),
    "another header": (
        lambda talk: talk.sends(408, "request headers took longer than 2 s", connection="keep-alive"),
        r"sends 408 \| connection: keep-alive",
        r"sends 408 \| connection: close",
    ),
    "a header that should be absent": (
        lambda talk: talk.sends(408, "request headers took longer than 2 s", connection=None),
        "connection: absent",
        "connection: close",
    ),
    "another end": (
        lambda talk: talk.sends(408, "request headers took longer than 2 s").closes(),
        r"\?  closes",
        "!  half-closes",
    ),
    "an answer left out": (lambda talk: talk.half_closes(), r"\?  half-closes", "!  sends 408"),
    "an end left out": (
        lambda talk: talk.sends(408, "request headers took longer than 2 s").receives(GET),
        r"\?  receives",
        "!  half-closes",
    ),
    "a line too many": (
        lambda talk: talk.sends(408, "request headers took longer than 2 s").half_closes().closes(),
        r"\?  closes",
        "!  nothing",
    ),
    "said to stay open": (lambda talk: talk.stays_open(), r"\?  stays open", "!  sends 408"),
    "no word of the end": (
        lambda talk: talk.sends(408, "request headers took longer than 2 s").half_closes(),
        r"\?  one of: closes, aborts",
        "!  the playbook breaks off",
    ),
    "nothing at all": (lambda _talk: None, r"\?  \(the end\)", "!  sends 408"),
}


@pytest.mark.parametrize("case", WRONG)
def test_the_arrow_is_at_the_first_difference_with_both_sides_of_it(case: str) -> None:
    rest, told, true = WRONG[case]
    said = failure(lambda server: rest(server().receives(b"GET").passes(2)))
    assert re.search(rf"(?s)conversation parts.*\n-->[^\n]*{told}[^\n]*\n[^\n]*{true}", said), said


def test_the_whole_conversation_is_shown_with_its_times() -> None:
    said = failure(
        lambda server: (
            server().receives(GET).asks("GET /health").passes(1.5).answers(200, b"ok").sends(200, b"no").stays_open()
        )
    )
    assert [re.sub(r"\s+", " ", line).strip() for line in said.splitlines()[1:]] == [
        "0.000 s #1 > connects",
        r"0.000 s #1 > receives 'GET /health HTTP/1.1\r\nHost: x\r\n\r\n'",
        "0.000 s #1 < asks GET /health ''",
        "0.000 s #1 > 1.5 s pass",
        "1.500 s #1 > is answered 200 'ok'",
        "--> 1.500 s #1 ? sends 200 | 'no'",
        "1.500 s #1 ! sends 200 | 'ok'",
    ]


def test_what_happens_too_early_is_no_match() -> None:
    said = failure(
        lambda server: server().receives(b"GET").passes(2.5).sends(408, "request headers took longer than 2 s")
    )
    assert "(0.5 s before)" in said


def test_what_happens_long_after_the_end_counts() -> None:
    said = failure(lambda server: server(tls=True).server_stops().passes(PARTING_SECONDS).closes())
    assert re.search(r"\?  \(nothing more\)\n.*!  aborts", said), said


def test_another_connection_s_untold_end_fails_too() -> None:
    said = failure(lambda server: (server(), server().passes(60).aborts()))
    assert re.search(r"#1  \?  \(the end\)\n.*#1  !  aborts", said), said


def test_what_no_client_could_do_cannot_be_said() -> None:
    said = failure(lambda server: server().passes(60).aborts().receives(GET))
    assert said.startswith("impossible: the server has closed the connection")
    assert failure(lambda server: server().answers(200)).startswith("impossible: nothing was asked")


def test_a_fault_in_the_protocol_is_not_swallowed() -> None:
    server = Playbook(LIMITS)
    with pytest.raises(ZeroDivisionError):
        server.loop.run(lambda: 1 // 0)
    server.end()


@pytest.mark.parametrize(
    "data", [b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok", b"HTTP/2 200\r\n\r\n", b"ok", b"HTTP/1.1 200 OK\r\n"]
)
def test_bytes_that_are_no_whole_answer_are_none(data: bytes) -> None:
    with pytest.raises(AssertionError):
        split_answer(data)
