"""What a key that is limited to some models may run."""

from __future__ import annotations

import json
import time

import pytest

from maas_api.gateway.authorizer import BODY_DEADLINE, READ_AT_ONCE_BYTES
from tests.support.questions import Gateway, valid

KEY = "sk-oai-" + "abc_def"
BEARER = f"Bearer {KEY}"
LOCAL = "POST /llm/opt/v1/chat/completions"
OTHER = "POST /llm/unknown/v1/chat/completions"
PROVIDER = "POST /external/openai/v1/chat/completions"
LIMITED = "this API key is limited to certain models"
CODE = "model_not_allowed"

IN_LOWER_CASE = f"{LIMITED}: 'model' must be written in lower case, once"
NAME_ONE = f"{LIMITED}: the body must name one in 'model'"
PLAIN = f"{LIMITED}: the body must be plain JSON in which no name stands twice"
TOO_LARGE = f"{LIMITED}, and the request is too large to find its model in it"


def names(model: str) -> bytes:
    return json.dumps({"model": model}).encode()


PASSES: list[tuple[tuple[str, ...] | None, str, bytes]] = [
    # One local server by the name facebook/opt, with an adapter, opt.
    (("facebook/*", "opt"), LOCAL, b""),
    (("facebook/*",), LOCAL, names("facebook/opt")),
    (("opt",), LOCAL, names("opt")),
    (("opt",), "GET /llm/opt/v1/models", b""),
    (("opt",), "HEAD /llm/opt/v1/models", b""),
    # Who may use all of a server's models is not bound to a readable body.
    (("*",), LOCAL, b"\xff"),
    (("opt", "facebook/*"), LOCAL, b"\xff"),
    (None, LOCAL, b"\xff"),
    (None, OTHER, b"\xff"),
    # A provider's route leads to many models; the body says to which.
    (("gpt-4o",), PROVIDER, names("gpt-4o")),
    (("gpt-*",), PROVIDER, names("gpt-4o")),
    (None, PROVIDER, b"x"),
]

REFUSED: list[tuple[tuple[str, ...], str, bytes, str]] = [
    (("gpt-4o",), LOCAL, names("gpt-4o"), f"{LIMITED}, not '/llm/opt/v1/chat/completions'"),
    ((), LOCAL, names("opt"), f"{LIMITED}, not '/llm/opt/v1/chat/completions'"),
    (("*",), OTHER, names("opt"), f"{LIMITED}, not '/llm/unknown/v1/chat/completions'"),
    (("opt",), LOCAL, names("facebook/opt"), f"{LIMITED}, not 'facebook/opt'"),
    (("opt",), LOCAL, b"{}", NAME_ONE),
    (("opt",), LOCAL, b"", PLAIN),
    (("opt",), LOCAL, b"\xff", PLAIN),
    (("opt",), LOCAL, b'{"model":"opt","model":"facebook/opt"}', PLAIN),
    (("opt",), LOCAL, b'{"model":"opt","Model":"facebook/opt"}', IN_LOWER_CASE),
    (("opt",), LOCAL.replace("POST", "PUT"), b"", PLAIN),
    (("gpt-4o",), PROVIDER, names("gpt-4"), f"{LIMITED}, not 'gpt-4'"),
    (("gpt-4o",), PROVIDER, b"{}", NAME_ONE),
    (
        ("gpt-4o",),
        PROVIDER,
        b'{"model":"gpt-4o","fallbacks":["gpt-5"]}',
        f"{LIMITED}, and 'fallbacks' names more of them",
    ),
]


@pytest.mark.parametrize(("models", "line", "body"), PASSES)
def test_what_a_key_may_run_passes(gateway: Gateway, models: tuple[str, ...] | None, line: str, body: bytes) -> None:
    gateway().asks(line, body, authorization=BEARER).looks_up(KEY).learns(valid(models=models)).allows(models=models)


@pytest.mark.parametrize(("models", "line", "body", "message"), REFUSED)
def test_what_a_key_may_not_run_or_does_not_say_plainly_is_refused(
    gateway: Gateway, models: tuple[str, ...], line: str, body: bytes, message: str
) -> None:
    talk = gateway().asks(line, body, authorization=BEARER).looks_up(KEY).learns(valid(models=models))
    talk.refuses(403, CODE, message)


@pytest.mark.parametrize(("models", "line"), [(("opt",), LOCAL), (("gpt-4o",), PROVIDER)])
def test_a_body_that_the_gateway_cut_short_is_refused(gateway: Gateway, models: tuple[str, ...], line: str) -> None:
    cut = {"authorization": BEARER, "x_envoy_auth_partial_body": "true"}
    talk = gateway().asks(line, names(models[0]), **cut).looks_up(KEY).learns(valid(models=models))
    talk.refuses(413, CODE, TOO_LARGE)
    gateway().asks(line, b"x", **cut).looks_up(KEY).learns(valid()).allows()


# Long bodies, which take time to read. ----------------------------------------------------------------------------

LONG = json.dumps({"model": "gpt-x", "messages": "a" * READ_AT_ONCE_BYTES}).encode()


@pytest.mark.parametrize("remembered", [True, False])
@pytest.mark.parametrize("models", [("gpt-x",), ("other",)])
def test_a_long_body_of_a_limited_key_waits_for_the_key_s_turn(
    gateway: Gateway, models: tuple[str, ...], remembered: bool
) -> None:
    known = valid(models=models)
    talk = gateway(remembered=known) if remembered else gateway()
    talk = talk.asks(PROVIDER, LONG, authorization=BEARER).looks_up(KEY)
    talk = (talk if remembered else talk.learns(known)).queues_behind("key-1").passes(BODY_DEADLINE - 0.01).turn_comes()
    if models == ("gpt-x",):
        talk.allows(models=models)
    else:
        talk.refuses(403, CODE, f"{LIMITED}, not 'gpt-x'")


def test_its_turn_is_waited_for_a_bounded_time(gateway: Gateway) -> None:
    talk = gateway().asks(PROVIDER, LONG, authorization=BEARER).looks_up(KEY).learns(valid(models=("gpt-x",)))
    talk.queues_behind("key-1").passes(BODY_DEADLINE)
    talk.refuses(503, "unavailable", "The credential could not be checked now; try again").turn_comes()


def test_nobody_else_s_body_is_looked_at(gateway: Gateway) -> None:
    talk = gateway(busy=True).asks(PROVIDER, LONG, authorization=BEARER).looks_up(KEY).learns(valid())
    talk.allows()


def test_a_key_with_too_many_of_them_at_once_is_told_to_try_again(gateway: Gateway) -> None:
    talk = gateway(busy=True).asks(PROVIDER, LONG, authorization=BEARER).looks_up(KEY)
    talk.learns(valid(models=("gpt-x",)))
    talk.refuses(503, "busy", "Too many large requests of this API key at once; try again")


def test_a_body_made_to_take_long_is_refused_by_its_looks(gateway: Gateway) -> None:
    body = b"{" + b'"":0,' * 170_000 + b'"model":"gpt-x"}'
    talk = gateway().asks(PROVIDER, body, authorization=BEARER).looks_up(KEY).learns(valid(models=("gpt-x",)))
    talk = talk.queues_behind("key-1")
    begun = time.process_time()
    talk.turn_comes()
    assert time.process_time() - begun < 0.1, "parsing it took half a second"
    many = "a body of more than 20000 strings and punctuation marks is too large to find its model in it"
    talk.refuses(413, CODE, f"{LIMITED}, and {many}")
