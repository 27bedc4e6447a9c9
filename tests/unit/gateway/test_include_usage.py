"""The filter that asks for a stream's usage where its client did not, run as Envoy runs it (LuaJIT)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maas_api.gateway.envoy.model_name import source
from tests.support.body_filter import loaded

Rewrite = Callable[..., tuple[bytes, dict[str, str]]]
CHAT = "/external/openai/v1/chat/completions"


def filtered(*, include_usage: bool) -> Rewrite:
    """A function: body, path -> the body that goes on, and its headers."""
    filter_ = loaded(source(include_usage=include_usage))

    def run(body: bytes, path: str = CHAT) -> tuple[bytes, dict[str, str]]:
        given = {":method": "POST", ":path": path, "content-type": "application/json", "authorization": "Bearer x"}
        outcome = filter_(body, {**given, "content-length": str(len(body))})
        assert outcome.body is not None
        return outcome.body, outcome.headers

    return run


@pytest.fixture(scope="module")
def asking() -> Rewrite:
    return filtered(include_usage=True)


ADDED: dict[str, tuple[str, Any]] = {
    "left out": ('{"model":"m","stream":true}', {"include_usage": True}),
    "left out, with space": (' {\n "stream" : true , "model":"m" } ', {"include_usage": True}),
    "null": ('{"model":"m","stream_options":null,"stream":true}', {"include_usage": True}),
    "empty": ('{"stream":true,"stream_options":{ },"model":"m"}', {"include_usage": True}),
    "another option": (
        '{"stream":true,"stream_options":{"include_obfuscation":false},"model":"m"}',
        {"include_usage": True, "include_obfuscation": False},
    ),
}


@pytest.mark.parametrize(("body", "options"), ADDED.values(), ids=ADDED.keys())
def test_a_stream_is_asked_for_its_usage(asking: Rewrite, body: str, options: Any) -> None:
    written, headers = asking(body.encode())
    assert json.loads(written) == {**json.loads(body), "stream_options": options}
    assert headers["content-length"] == str(len(written))
    assert headers["x-gateway-model-name"] == "m"


LEFT: dict[str, str] = {
    "no stream": '{"model":"m"}',
    "not streamed": '{"model":"m","stream":false}',
    "a word that is none": '{"model":"m","stream":"true"}',
    "said already": '{"model":"m","stream":true,"stream_options":{"include_usage":true}}',
    "not wanted": '{"model":"m","stream":true,"stream_options":{"include_usage":false}}',
    "not wanted, escaped": '{"model":"m","stream":true,"stream_options":{"include\\u005fusage":false}}',
    "not wanted, in other letters": '{"model":"m","stream":true,"stream_options":{"Include_Usage":false}}',
    "options of options": '{"model":"m","stream":true,"stream_options":{"a":{"b":1}}}',
    "options that are none": '{"model":"m","stream":true,"stream_options":7}',
    "options twice": '{"model":"m","stream":true,"stream_options":{},"stream_options":{}}',
    "options in other letters": '{"model":"m","stream":true,"Stream_Options":{}}',
    "stream twice": '{"model":"m","stream":true,"stream":false}',
    "stream below": '{"model":"m","x":{"stream":true}}',
    "no model": '{"stream":true}',
    "the model twice": '{"model":"m","model":"n","stream":true}',
    "cut off": '{"model":"m","stream":true',
    "no JSON": "stream=true",
}


@pytest.mark.parametrize("body", LEFT.values(), ids=LEFT.keys())
def test_anything_else_goes_on_as_it_came(asking: Rewrite, body: str) -> None:
    assert asking(body.encode())[0] == body.encode()


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses", "/v1/embeddings", "/v1/chat/completions/x", "/x"])
def test_other_endpoints_are_left_alone(asking: Rewrite, path: str) -> None:
    body = b'{"model":"m","stream":true}'
    assert asking(body, path)[0] == body


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions?x=1", "/llm/m/v1/chat/completions"])
def test_both_endpoints_are_known_wherever_they_lie(asking: Rewrite, path: str) -> None:
    assert b"include_usage" in asking(b'{"model":"m","stream":true}', path)[0]


def test_a_body_of_megabytes_is_left_alone(asking: Rewrite) -> None:
    for size, expected in ((1_000_000, True), (9_000_000, False)):
        body = json.dumps({"model": "m", "stream": True, "messages": "x" * size}).encode()
        assert (b"include_usage" in asking(body)[0][:100]) == expected


def test_nothing_is_added_unless_asked_for() -> None:
    body = b'{"model":"m","stream":true}'
    assert filtered(include_usage=False)(body)[0] == body


keys = st.text(max_size=8) | st.sampled_from(["stream", "stream_options", "model", "include_usage"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(keys, values, max_size=5))
def test_whatever_a_body_says_beside_it_stays(asking: Rewrite, fields: dict[str, Any]) -> None:
    body = json.dumps({"model": "m", **fields}).encode()
    written = json.loads(asking(body)[0])
    if asking(body)[0] != body:
        before = fields.get("stream_options") or {}
        assert fields["stream"] is True
        assert "include_usage" not in before
        assert written == {"model": "m", **fields, "stream_options": {**before, "include_usage": True}}
