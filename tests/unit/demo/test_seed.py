"""A row is PASS for the expected answer and nothing less."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from maas_api.demo.client import Client
from maas_api.demo.report import Row
from maas_api.demo.seed import CALLS, Call, perform
from maas_api.demo.simulators.model_server import model_server
from maas_api.demo.simulators.server import Answer, Events, Received, Simulator, Whole, event

LOCAL = CALLS[0]


@pytest.fixture
def answering(request: pytest.FixtureRequest) -> Iterator[Client]:
    answer: Answer = request.param
    with Simulator("test", answer) as server:
        client = Client(server.url)
        yield client
        client.close()


def stripped(request: Received) -> Whole | Events:
    """The gateway's part: the route's prefix is gone before the model server sees the path."""
    return model_server(LOCAL.model)(request._replace(path=request.path.removeprefix(LOCAL.base)))


def saying(text: Any) -> Answer:
    message = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}
    return lambda _: Whole(200, {**message, "usage": {"prompt_tokens": 1, "completion_tokens": 2}})


def performed(client: Client, *, simulated: bool = True, call: Call = LOCAL) -> Row:
    return perform(client, call, "key", simulated=simulated)


@pytest.mark.parametrize("answering", [stripped], indirect=True)
def test_the_expected_answer_passes(answering: Client) -> None:
    row = performed(answering)
    assert row == Row("facebook/opt-125m", "Local (KServe)", "sk-oai-*", "To be ", passed=True)


@pytest.mark.parametrize("answering", [saying("To be or not")], indirect=True)
def test_another_text_fails_and_says_what_was_expected(answering: Client) -> None:
    row = performed(answering)
    assert not row.passed
    assert row.response == "To be or not"
    assert "'To be '" in row.reason


@pytest.mark.parametrize("answering", [saying("Anything at all")], indirect=True)
def test_a_real_provider_may_say_what_it_likes(answering: Client) -> None:
    row = performed(answering, simulated=False)
    assert row.passed
    assert row.provider == "Local (KServe) (real)"


@pytest.mark.parametrize("answering", [saying("")], indirect=True)
def test_a_real_provider_must_say_something(answering: Client) -> None:
    assert performed(answering, simulated=False).reason == "the answer holds no text"


@pytest.mark.parametrize("answering", [lambda _: Whole(503, {"error": "no upstream"})], indirect=True)
def test_an_error_fails_with_its_status_and_text(answering: Client) -> None:
    assert performed(answering).reason == f'POST {LOCAL.path}: 503 {{"error": "no upstream"}}'


@pytest.mark.parametrize("answering", [lambda _: Whole(200, {"choices": []})], indirect=True)
def test_a_shape_that_is_not_the_providers_fails(answering: Client) -> None:
    assert "not the provider's shape" in performed(answering).reason


@pytest.mark.parametrize("answering", [stripped], indirect=True)
def test_no_answer_fails(answering: Client) -> None:
    nowhere = Client("http://127.0.0.1:1")
    assert performed(nowhere).reason.startswith("no answer: ")
    nowhere.close()


def five_events(_: Received) -> Events:
    return Events(event(json.dumps({"n": number})) for number in range(5))


@pytest.mark.parametrize("answering", [five_events], indirect=True)
def test_each_piece_of_a_stream_is_timed_on_its_own(answering: Client) -> None:
    streamed = answering.stream("/", credential="key", body={})
    assert streamed.status == 200
    assert [piece for _, piece in streamed.pieces] == [event(json.dumps({"n": number})) for number in range(5)]
    assert len(streamed.gaps) == 4
    assert max(streamed.gaps) > 0.01  # the sender pauses 30 ms; what a busy machine reads late it may read together
    assert "data: " in answering.transcript[-1]
