"""Chat completions of all three simulators, held against the OpenAI SDK's own types."""

from __future__ import annotations

import base64
import json
from typing import Any

import jsonschema
import pytest
from openai.types import Completion, CompletionUsage
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from maas_api.demo.simulators.anthropic_api import anthropic_api
from maas_api.demo.simulators.model_server import model_server
from maas_api.demo.simulators.openai_api import openai_api
from maas_api.demo.simulators.server import Answer, Events
from tests.support.sdk_types import events, post, refused, strictly

PATH = "/v1/chat/completions"
SERVERS: dict[str, tuple[Answer, str]] = {
    "openai": (openai_api("k"), "gpt-4o-mini"),
    "anthropic": (anthropic_api("k"), "claude-sonnet-5-5"),
    "vllm": (model_server("m"), "m"),
}
HELLO = [{"role": "user", "content": "Hello"}]
BEYOND = ("kv_transfer_params",)
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"enum": ["C", "F"]}},
            "required": ["city", "unit"],
            "additionalProperties": False,
        },
    },
}
TIME = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}}}
PNG = "data:image/png;base64," + base64.b64encode(b"\x89PNG").decode()


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> tuple[Answer, str]:
    return SERVERS[request.param]


def ask(server: tuple[Answer, str], **more: Any) -> ChatCompletion:
    body = post(server[0], PATH, {"model": server[1], "messages": HELLO, **more})
    return strictly(ChatCompletion, body, beyond=BEYOND)


def chunks(server: tuple[Answer, str], **more: Any) -> list[ChatCompletionChunk]:
    read = events(server[0], PATH, {"model": server[1], "messages": HELLO, **more})
    assert read[-1] == (None, "[DONE]")
    return [strictly(ChatCompletionChunk, data, beyond=BEYOND) for _, data in read[:-1]]


def test_a_completion_is_of_the_sdks_type(server: tuple[Answer, str]) -> None:
    done = ask(server)
    assert done.choices[0].message.content
    assert done.usage is not None
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens


def test_a_stream_adds_up_to_the_completion_and_ends_with_its_usage(server: tuple[Answer, str]) -> None:
    done, parts = ask(server), chunks(server, stream_options={"include_usage": True})
    said = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
    assert said == done.choices[0].message.content
    assert [bool(part.choices) for part in parts] == [True] * (len(parts) - 1) + [False]
    assert parts[-1].usage == done.usage
    assert all(part.usage is None for part in parts[:-1])


@pytest.mark.parametrize(
    "choice",
    [
        "required",
        {"type": "function", "function": {"name": "get_weather"}},
        {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "get_weather"}}]},
        },
    ],
)
def test_a_tool_that_must_be_called_is_called_with_arguments_that_fit(server: tuple[Answer, str], choice: Any) -> None:
    done = ask(server, tools=[WEATHER], tool_choice=choice)
    assert (done.choices[0].finish_reason, done.choices[0].message.content) == ("tool_calls", None)
    (call,) = done.choices[0].message.tool_calls or ()
    assert call.type == "function"
    assert call.function.name == "get_weather"
    jsonschema.validate(json.loads(call.function.arguments), WEATHER["function"]["parameters"])  # type: ignore[index]  # a plain dict


def test_a_streamed_call_adds_up(server: tuple[Answer, str]) -> None:
    parts = chunks(server, tools=[WEATHER], tool_choice="required")
    pieces = [call for part in parts for call in part.choices[0].delta.tool_calls or ()]
    assert [(piece.id is not None, piece.index) for piece in pieces] == [(True, 0), (False, 0), (False, 0)]
    assert pieces[0].function is not None
    assert pieces[0].function.name == "get_weather"
    jsonschema.validate(
        json.loads("".join(piece.function.arguments or "" for piece in pieces if piece.function)),
        WEATHER["function"]["parameters"],  # type: ignore[index]  # a plain dict
    )
    assert parts[-1].choices[0].finish_reason == "tool_calls"


def test_tools_that_may_be_called_are_called_by_name_and_answered_with_what_they_said(
    server: tuple[Answer, str],
) -> None:
    both = [TIME, WEATHER]
    assert ask(server, tools=both).choices[0].message.tool_calls is None
    wish = [{"role": "user", "content": 'call get_weather with {"city": "Oslo", "unit": "C"} please'}]
    assert ask(server, tools=both, messages=wish, tool_choice="none").choices[0].message.tool_calls is None
    message = ask(server, tools=both, messages=wish).choices[0].message
    (call,) = message.tool_calls or ()
    assert call.type == "function"
    assert json.loads(call.function.arguments) == {"city": "Oslo", "unit": "C"}
    result = {"role": "tool", "tool_call_id": call.id, "content": "12 degrees"}
    again = ask(server, tools=both, messages=[*wish, message.model_dump(exclude_none=True), result])
    assert again.choices[0].message.content == "The tool said: 12 degrees"


def test_an_agents_loop_comes_to_its_last_tool(server: tuple[Answer, str]) -> None:
    first = ask(server, tools=[TIME, WEATHER], tool_choice="required").choices[0].message
    history = [*HELLO, first.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": "x", "content": "noon"}]
    second = ask(server, tools=[TIME, WEATHER], tool_choice="required", messages=history).choices[0].message
    names = [call.function.name for m in (first, second) for call in m.tool_calls or () if call.type == "function"]
    assert names == ["get_time", "get_weather"]


@pytest.mark.parametrize("name", ["openai", "vllm"])
def test_an_output_format_is_obeyed(name: str) -> None:
    schema = WEATHER["function"]["parameters"]  # type: ignore[index]  # a plain dict
    form = {"type": "json_schema", "json_schema": {"name": "weather", "strict": True, "schema": schema}}
    done = ask(SERVERS[name], response_format=form)
    jsonschema.validate(json.loads(done.choices[0].message.content or ""), schema)
    anything = ask(SERVERS[name], response_format={"type": "json_object"})
    assert isinstance(json.loads(anything.choices[0].message.content or ""), dict)


def test_anthropics_endpoint_ignores_an_output_format_and_answers_once() -> None:
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    assert "Hello!" in (ask(SERVERS["anthropic"], response_format=form).choices[0].message.content or "")
    status, error = refused(SERVERS["anthropic"][0], PATH, {"model": "claude-sonnet-5-5", "messages": HELLO, "n": 2})
    assert (status, error["type"]) == (400, "invalid_request_error")
    status, error = refused(SERVERS["anthropic"][0], PATH, {"model": "claude-none", "messages": HELLO})
    assert (status, error["message"]) == (404, "model: claude-none")


@pytest.mark.parametrize("name", ["openai", "vllm"])
def test_several_answers_are_all_counted(name: str) -> None:
    one, three = ask(SERVERS[name]), ask(SERVERS[name], n=3)
    assert [choice.index for choice in three.choices] == [0, 1, 2]
    assert one.usage is not None
    assert three.usage is not None
    assert three.usage.completion_tokens == 3 * one.usage.completion_tokens
    assert {part.choices[0].index for part in chunks(SERVERS[name], n=3)} == {0, 1, 2}


def test_a_stop_sequence_ends_the_answer(server: tuple[Answer, str]) -> None:
    whole = ask(server).choices[0].message.content or ""
    cut = ask(server, stop=["be", "!"]).choices[0]
    assert whole.startswith(cut.message.content or "-")
    assert (len(cut.message.content or "") < len(whole), cut.finish_reason) == (True, "stop")


def test_a_picture_counts_and_a_broken_one_is_refused(server: tuple[Answer, str]) -> None:
    def look(url: Any) -> Any:
        parts = [{"type": "text", "text": "Hello"}, {"type": "image_url", "image_url": {"url": url}}]
        return [{"role": "user", "content": parts}]

    plain, seen = ask(server).usage, ask(server, messages=look(PNG)).usage
    assert plain is not None
    assert seen is not None
    assert seen.prompt_tokens >= plain.prompt_tokens + 85
    for url in ("data:image/png;base64,!!", "data:text/plain;base64,AA==", "file:///etc/passwd", None):
        status, _ = refused(server[0], PATH, {"model": server[1], "messages": look(url)})
        assert status == 400


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "none"}}}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": "sometimes"}, "tool_choice"),
        ({"tools": ["get_weather"]}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"stop": 5}, "stop"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"not": {}}}}},
            "response_format",
        ),
        ({"messages": [{"role": "user", "content": [{"text": "no type"}]}]}, "messages"),
    ],
)
def test_openai_names_the_broken_rule(more: dict[str, Any], param: str) -> None:
    status, error = refused(SERVERS["openai"][0], PATH, {"model": "gpt-4o-mini", "messages": HELLO, **more})
    assert (status, error["param"]) == (400, param)


def test_what_was_cached_and_thought_is_told_inside_the_counts() -> None:
    long = [{"role": "user", "content": "word " * 1500}]
    usage = strictly(
        CompletionUsage, post(SERVERS["openai"][0], PATH, {"model": "gpt-5.4-mini", "messages": long})["usage"]
    )
    assert usage.prompt_tokens_details is not None
    assert usage.completion_tokens_details is not None
    assert usage.prompt_tokens_details.cached_tokens == 1408
    assert usage.completion_tokens_details.reasoning_tokens == 128
    assert usage.completion_tokens > 128
    body = {"model": "gpt-5.4-mini", "messages": HELLO, "max_completion_tokens": 10, "reasoning_effort": "high"}
    silent = strictly(ChatCompletion, post(SERVERS["openai"][0], PATH, body))
    assert (silent.choices[0].message.content, silent.choices[0].finish_reason) == ("", "length")


def test_legacy_completions_are_of_the_sdks_type() -> None:
    for name in ("openai", "vllm"):
        answer, model = SERVERS[name]
        body = {"model": model, "prompt": "Hello", "n": 2, "stream_options": {"include_usage": True}}
        done = strictly(Completion, post(answer, "/v1/completions", body), beyond=(*BEYOND, "service_tier"))
        assert len(done.choices) == 2
        read = events(answer, "/v1/completions", body)
        assert read[-2][1]["choices"] == []
        assert read[-2][1]["usage"]["completion_tokens"] == done.usage.completion_tokens  # type: ignore[union-attr]  # it is there


def test_the_seeds_answers_stay_as_they_were_recorded() -> None:
    openai = post(
        SERVERS["openai"][0], PATH, {"model": "gpt-4o-mini", "messages": HELLO, "max_tokens": 5, "temperature": 0}
    )
    local = post(SERVERS["vllm"][0], PATH, {"model": "m", "messages": HELLO, "max_tokens": 10})
    for body in (openai, local):
        assert body.pop("id").startswith("chatcmpl-")
        assert body.pop("created")
    choice = {"index": 0, "logprobs": None}
    assert openai == {
        "object": "chat.completion",
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [
            {
                **choice,
                "message": {"role": "assistant", "content": "Hello! How can I", "refusal": None},
                "finish_reason": "length",
            }
        ],
        "usage": {
            "prompt_tokens": 8,
            "completion_tokens": 5,
            "total_tokens": 13,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
        "service_tier": "default",
        "system_fingerprint": "fp_simulated",
    }
    assert local == {
        "object": "chat.completion",
        "model": "m",
        "choices": [{**choice, "message": {"role": "assistant", "content": "To be "}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
        "kv_transfer_params": None,
    }


def test_an_unforeseen_body_is_refused_by_a_sentence(server: tuple[Answer, str]) -> None:
    odd: list[Any] = [None, 5, "x", [], {}, [None], [{}], [[]], {"type": "function"}, True]
    for name in (
        "model",
        "messages",
        "tools",
        "tool_choice",
        "response_format",
        "stop",
        "n",
        "max_tokens",
        "stream_options",
    ):
        for value in odd:
            given = post(server[0], PATH, {"model": server[1], "messages": HELLO, name: value}, whole=True)
            assert isinstance(given, Events) or given.status in {200, 400, 404}
