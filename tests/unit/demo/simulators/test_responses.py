"""Responses of OpenAI's simulator and of the model server, held against the OpenAI SDK's own types."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from openai.types.responses import Response, ResponseStreamEvent

from maas_api.demo.simulators.model_server import model_server
from maas_api.demo.simulators.openai_api import openai_api
from maas_api.demo.simulators.server import Answer, Events
from tests.support.sdk_types import events, post, refused, strictly

PATH = "/v1/responses"
SERVERS: dict[str, tuple[Answer, str]] = {
    "openai": (openai_api("k"), "gpt-4o-mini"),
    "vllm": (model_server("m"), "m"),
}
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER = {"type": "function", "name": "get_weather", "parameters": SCHEMA, "strict": True}
BEYOND = ("store", "status")  # the service says them, of a response and of a custom call; the SDK has no field
PATCH = {"type": "custom", "name": "apply_patch", "description": "free text"}
SEARCH = {"type": "web_search"}


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> tuple[Answer, str]:
    return SERVERS[request.param]


def ask(server: tuple[Answer, str], **more: Any) -> Response:
    return strictly(Response, post(server[0], PATH, {"model": server[1], "input": "Hello", **more}), beyond=BEYOND)


def stream(server: tuple[Answer, str], **more: Any) -> list[Any]:
    read = events(server[0], PATH, {"model": server[1], "input": "Hello", **more})
    assert all(name == data["type"] for name, data in read)
    assert [data["sequence_number"] for _, data in read] == list(range(len(read)))
    return [strictly(ResponseStreamEvent, data, beyond=BEYOND) for _, data in read]  # type: ignore[arg-type]  # a union


def test_a_response_is_of_the_sdks_type(server: tuple[Answer, str]) -> None:
    done = ask(server, instructions="Be brief.", metadata={"a": "b"}, tools=[WEATHER, PATCH, SEARCH])
    assert (done.status, done.instructions, done.metadata) == ("completed", "Be brief.", {"a": "b"})
    assert done.output_text
    assert done.usage is not None
    assert done.usage.total_tokens == done.usage.input_tokens + done.usage.output_tokens


def test_a_stream_tells_every_step_and_ends_with_the_whole(server: tuple[Answer, str]) -> None:
    parts = stream(server)
    words = [part.delta for part in parts if part.type == "response.output_text.delta"]
    assert [part.type for part in parts] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * len(words),
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    final = parts[-1].response
    assert "".join(words) == final.output_text == ask(server).output_text
    assert final.usage is not None
    assert parts[0].response.usage is None
    assert len({part.response.id for part in parts if hasattr(part, "response")}) == 1
    assert {part.item_id for part in parts if hasattr(part, "item_id")} == {final.output[0].id}


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "get_weather"}])
def test_a_function_that_must_be_called_is_called(server: tuple[Answer, str], choice: Any) -> None:
    (call,) = ask(server, tools=[WEATHER], tool_choice=choice).output
    assert call.type == "function_call"
    jsonschema.validate(json.loads(call.arguments), SCHEMA)
    parts = stream(server, tools=[WEATHER], tool_choice=choice)
    given = "".join(part.delta for part in parts if part.type == "response.function_call_arguments.delta")
    done = next(part for part in parts if part.type == "response.function_call_arguments.done")
    assert given == done.arguments == call.arguments
    assert parts[-1].response.output[0].name == "get_weather"


def test_a_tool_of_free_text_is_called_with_text(server: tuple[Answer, str]) -> None:
    said = "please call apply_patch with *** Begin Patch"
    (call,) = ask(server, tools=[PATCH], input=said).output
    assert (call.type, call.input) == ("custom_tool_call", "*** Begin Patch")  # type: ignore[union-attr]  # by its type
    kinds = [part.type for part in stream(server, tools=[PATCH], input=said)]
    assert "response.custom_tool_call_input.done" in kinds


def test_what_a_tool_answered_is_repeated(server: tuple[Answer, str]) -> None:
    for call, result in (("function_call", "function_call_output"), ("custom_tool_call", "custom_tool_call_output")):
        history = [
            {"role": "user", "content": "call get_weather"},
            {"type": call, "call_id": "c", "name": "get_weather", "arguments": "{}", "input": ""},
            {"type": result, "call_id": "c", "output": "12 degrees"},
        ]
        assert ask(server, tools=[WEATHER], input=history).output_text == "The tool said: 12 degrees"


def test_an_output_format_is_obeyed(server: tuple[Answer, str]) -> None:
    form = {"format": {"type": "json_schema", "name": "city", "schema": SCHEMA, "strict": True}}
    jsonschema.validate(json.loads(ask(server, text=form).output_text), SCHEMA)


def test_a_limit_makes_it_incomplete(server: tuple[Answer, str]) -> None:
    done = ask(server, max_output_tokens=1)
    assert done.status == "incomplete"
    assert done.incomplete_details is not None
    assert done.incomplete_details.reason == "max_output_tokens"
    assert stream(server, max_output_tokens=1)[-1].type == "response.incomplete"


def test_a_model_that_reasons_says_so_and_counts_it() -> None:
    server = (SERVERS["openai"][0], "gpt-5.4-mini")
    done = ask(server, reasoning={"effort": "low"}, input="word " * 2000)
    assert [item.type for item in done.output] == ["reasoning", "message"]
    assert done.usage is not None
    assert done.usage.output_tokens_details.reasoning_tokens == 64
    assert done.usage.input_tokens_details.cached_tokens == 1920
    assert [part.type for part in stream(server)].count("response.output_item.done") == 2
    assert [item.type for item in ask(server, max_output_tokens=16).output] == ["reasoning"]


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "file:///x"}]}]}, "input"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
    ],
)
def test_the_broken_rule_is_named(more: dict[str, Any], param: str) -> None:
    status, error = refused(SERVERS["openai"][0], PATH, {"model": "gpt-4o-mini", "input": "Hello", **more})
    assert (status, error["param"]) == (400, param)


def test_an_unforeseen_body_is_refused_by_a_sentence(server: tuple[Answer, str]) -> None:
    odd: list[Any] = [None, 5, "x", [], {}, [None], [{}], [[]], {"type": "function"}, True]
    for name in ("model", "input", "tools", "tool_choice", "text", "reasoning", "max_output_tokens"):
        for value in odd:
            given = post(server[0], PATH, {"model": server[1], "input": "Hello", name: value}, whole=True)
            assert isinstance(given, Events) or given.status in {200, 400, 404}
