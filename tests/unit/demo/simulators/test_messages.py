"""Messages of Anthropic's simulator and of the model server, held against the Anthropic SDK's own types."""

from __future__ import annotations

import base64
import json
from typing import Any

import jsonschema
import pytest
from anthropic.types import ErrorResponse, Message, MessageTokensCount, ModelInfo, RawMessageStreamEvent

from maas_api.demo.simulators.anthropic_api import anthropic_api
from maas_api.demo.simulators.model_server import model_server
from maas_api.demo.simulators.server import Answer, Events, Received, Whole
from tests.support.sdk_types import events, post, refused, strictly

PATH = "/v1/messages"
SERVERS: dict[str, tuple[Answer, str]] = {
    "anthropic": (anthropic_api("k"), "claude-sonnet-5-5"),
    "vllm": (model_server("m"), "m"),
}
HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER = {"name": "get_weather", "input_schema": SCHEMA}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> tuple[Answer, str]:
    return SERVERS[request.param]


def body_of(server: tuple[Answer, str], more: dict[str, Any]) -> dict[str, Any]:
    return {"model": server[1], "messages": HELLO, "max_tokens": 4096, **more}


def ask(server: tuple[Answer, str], **more: Any) -> Message:
    return strictly(Message, post(server[0], PATH, body_of(server, more)))


def stream(server: tuple[Answer, str], **more: Any) -> list[Any]:
    read = events(server[0], PATH, body_of(server, more))
    assert all(name == data["type"] for name, data in read)
    return [strictly(RawMessageStreamEvent, data) for name, data in read if name != "ping"]  # type: ignore[arg-type]  # a union


def test_a_message_is_of_the_sdks_type(server: tuple[Answer, str]) -> None:
    done = ask(server, system="Be brief.")
    assert done.content[0].type == "text"
    assert done.stop_reason == "end_turn"


def test_a_stream_adds_up_to_the_message(server: tuple[Answer, str]) -> None:
    done, parts = ask(server), stream(server)
    assert done.content[0].type == "text"
    said = "".join(part.delta.text for part in parts if part.type == "content_block_delta")
    assert said == done.content[0].text
    assert parts[0].message.usage.input_tokens == done.usage.input_tokens
    assert parts[-2].usage.output_tokens == done.usage.output_tokens
    assert parts[-2].delta.stop_reason == done.stop_reason


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "get_weather"}])
def test_a_tool_that_must_be_called_is_called(server: tuple[Answer, str], choice: Any) -> None:
    done = ask(server, tools=[SEARCH, WEATHER], tool_choice=choice)
    assert done.stop_reason == "tool_use"
    (block,) = done.content
    assert block.type == "tool_use"
    jsonschema.validate(block.input, SCHEMA)
    parts = stream(server, tools=[WEATHER], tool_choice=choice)
    assert parts[1].content_block.input == {}
    given = "".join(part.delta.partial_json for part in parts if part.type == "content_block_delta")
    assert json.loads(given) == block.input


def test_what_a_tool_answered_is_repeated(server: tuple[Answer, str]) -> None:
    wish = {"role": "user", "content": [{"type": "text", "text": 'call get_weather with {"city": "Oslo"}'}]}
    block = ask(server, tools=[WEATHER], messages=[wish]).content[0]
    assert block.type == "tool_use"
    assert block.input == {"city": "Oslo"}
    result = {"type": "tool_result", "tool_use_id": block.id, "content": [{"type": "text", "text": "12 degrees"}]}
    used = {"role": "assistant", "content": [block.model_dump(exclude_none=True)]}
    done = ask(server, tools=[WEATHER], messages=[wish, used, {"role": "user", "content": [result]}])
    assert done.content[0].type == "text"
    assert done.content[0].text == "The tool said: 12 degrees"


@pytest.mark.parametrize("name", ["output_config", "output_format"])
def test_an_output_format_is_obeyed(server: tuple[Answer, str], name: str) -> None:
    form = {"type": "json_schema", "schema": SCHEMA}
    done = ask(server, **{name: {"format": form} if name == "output_config" else form})
    assert done.content[0].type == "text"
    jsonschema.validate(json.loads(done.content[0].text), SCHEMA)


def test_a_stop_sequence_is_named(server: tuple[Answer, str]) -> None:
    done = ask(server, stop_sequences=["!", "be"])
    assert done.stop_reason == "stop_sequence"
    assert done.stop_sequence in {"!", "be"}
    assert stream(server, stop_sequences=["!", "be"])[-2].delta.stop_sequence == done.stop_sequence


def test_thinking_comes_first_and_is_counted() -> None:
    server = SERVERS["anthropic"]
    thinking = {"type": "enabled", "budget_tokens": 1024}
    done = ask(server, thinking=thinking)
    assert [block.type for block in done.content] == ["thinking", "text"]
    assert done.usage.output_tokens_details is not None
    assert done.usage.output_tokens_details.thinking_tokens == 16
    kinds = [part.delta.type for part in stream(server, thinking=thinking) if part.type == "content_block_delta"]
    assert kinds[:3] == ["thinking_delta", "signature_delta", "text_delta"]


def test_what_was_cached_stands_beside_the_input() -> None:
    server, mark = SERVERS["anthropic"], {"cache_control": {"type": "ephemeral"}}
    long = {"type": "text", "text": "word " * 1500}
    plain = ask(server, system=[long]).usage
    assert (plain.cache_read_input_tokens, plain.cache_creation_input_tokens) == (0, 0)
    asked = {
        "system": [{**long, **mark}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "x " * 9, **mark}]}, *HELLO],
    }
    usage = ask(server, **asked).usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (1, 1507, 9)
    assert stream(server, **asked)[0].message.usage.cache_read_input_tokens == 1507
    short = {**asked, "system": "short"}
    assert ask(server, **short).usage.cache_creation_input_tokens == 0


def test_tokens_are_counted_as_they_are_billed(server: tuple[Answer, str]) -> None:
    body = body_of(server, {"system": "Be brief.", "tools": [WEATHER]})
    del body["max_tokens"]
    found = strictly(MessageTokensCount, post(server[0], f"{PATH}/count_tokens", body))
    assert found.input_tokens == ask(server, system="Be brief.", tools=[WEATHER]).usage.input_tokens


def test_a_picture_counts_and_a_broken_one_is_refused(server: tuple[Answer, str]) -> None:
    def look(source: Any) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": [{"type": "image", "source": source}]}]}

    data = base64.b64encode(b"\x89PNG").decode()
    seen = ask(server, **look({"type": "base64", "media_type": "image/png", "data": data}))
    assert seen.usage.input_tokens >= 85
    for source in (None, {"type": "base64", "media_type": "text/plain", "data": data}, {"type": "base64"}):
        status, error = refused(server[0], PATH, body_of(server, look(source)))
        assert (status, error["type"]) == (400, "invalid_request_error")
        assert "messages.0.content.0.source" in error["message"]


@pytest.mark.parametrize(
    ("more", "rule"),
    [
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tools": [{"name": "x"}]}, "tools.0.custom.input_schema: Field required"),
        ({"tools": [WEATHER], "tool_choice": "any"}, "tool_choice: expected"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": [{}]}]}, "messages.0.content.0.type"),
        ({"thinking": {"type": "enabled", "budget_tokens": 5}}, "thinking.enabled.budget_tokens"),
        ({"thinking": {"type": "enabled", "budget_tokens": 4096}}, "max_tokens"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format"),
        ({"stop_sequences": "x"}, "stop_sequences"),
        ({"model": []}, "model"),
    ],
)
def test_anthropic_names_the_broken_rule(more: dict[str, Any], rule: str) -> None:
    given = post(SERVERS["anthropic"][0], PATH, body_of(SERVERS["anthropic"], more), whole=True)
    assert isinstance(given, Whole)
    strictly(ErrorResponse, given.body)
    assert rule in given.body["error"]["message"]


def test_listed_models_are_of_the_sdks_type() -> None:
    headers = (("x-api-key", "k"), ("anthropic-version", "2023-06-01"))
    listed = SERVERS["anthropic"][0](Received("GET", "/v1/models", headers, b"", None))
    assert isinstance(listed, Whole)
    models = [strictly(ModelInfo, model) for model in listed.body["data"]]
    assert all(model.id.startswith("claude-") for model in models)


def test_the_seeds_answer_stays_as_it_was_recorded() -> None:
    body = post(
        SERVERS["anthropic"][0], PATH, {"model": "claude-sonnet-4-20250514", "messages": HELLO, "max_tokens": 5}
    )
    assert body.pop("id").startswith("msg_")
    assert body == {
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-20250514",
        "content": [{"type": "text", "text": "Hello! How are you"}],
        "stop_reason": "max_tokens",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 8,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 5,
            "service_tier": "standard",
        },
    }


def test_an_unforeseen_body_is_refused_by_a_sentence(server: tuple[Answer, str]) -> None:
    odd: list[Any] = [None, 5, "x", [], {}, [None], [{}], [[]], {"type": "tool"}, True]
    for name in ("model", "messages", "tools", "tool_choice", "thinking", "output_config", "stop_sequences", "system"):
        for value in odd:
            given = post(server[0], PATH, body_of(server, {name: value}), whole=True)
            assert isinstance(given, Events) or given.status in {200, 400, 404}
