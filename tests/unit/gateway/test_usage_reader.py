"""The filter that reads what an answer says of its tokens, run as Envoy runs it (LuaJIT)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lupa import luajit21

from maas_api.gateway.envoy import metering
from maas_api.gateway.quota import SAID
from maas_api.usage import dialects, record

Said = dict[str, int]
Read = Callable[..., Said]
KNOWN = {SAID[record.USER]: "ann"}


@pytest.fixture(scope="module")
def read() -> Read:
    """A function: pieces of an answer, its content type, further headers -> the metadata."""
    lua = luajit21.LuaRuntime(encoding=None, unpack_returned_tuples=True)
    lua.execute(metering.source().encode())
    handle = lua.eval(
        b"""function(headers, pieces, caller, set)
            local kept = {
                get = function(_, name) if name == "envoy.filters.http.ext_authz" then return caller end end,
                set = function(_, namespace, key, value) set(namespace, key, value) end,
            }
            local info = { dynamicMetadata = function() return kept end }
            return {
                headers = function() return { get = function(_, name) return headers[name] end } end,
                streamInfo = function() return info end,
                bodyChunks = function()
                    local at = 0
                    return function()
                        at = at + 1
                        local piece = pieces[at]
                        return piece and {
                            length = function() return #piece end,
                            getBytes = function(_, from, size) return piece:sub(from + 1, from + size) end,
                        }
                    end
                end,
            }
        end"""
    )
    entry = lua.globals()[b"envoy_on_response"]

    def run(
        pieces: Sequence[bytes], kind: str = "application/json", *, caller: dict[str, str] | None = None, **more: str
    ) -> Said:
        found: dict[str, Any] = {}

        def note(namespace: bytes, key: bytes, value: Any) -> None:
            assert namespace == metering.NAMESPACE.encode()
            found[key.decode()] = value

        headers = {"content-type": kind} | {name.replace("_", "-"): value for name, value in more.items()}
        known = KNOWN if caller is None else caller
        entry(
            handle(
                lua.table_from({name.encode(): value.encode() for name, value in headers.items()}),
                lua.table_from(list(pieces)),
                lua.table_from({name.encode(): value.encode() for name, value in known.items()}),
                note,
            )
        )
        return found

    return run


def pieces(text: bytes, size: int) -> list[bytes]:
    return [text[at : at + size] for at in range(0, len(text), size)]


CHAT = {
    "prompt_tokens": 2006,
    "completion_tokens": 300,
    "total_tokens": 2306,
    "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 200},
}
CHAT_SAID = {
    "prompt_tokens": 2006,
    "completion_tokens": 300,
    "prompt_tokens_details.cached_tokens": 1920,
    "completion_tokens_details.reasoning_tokens": 200,
    "total": 2306,
}

ANSWERS: dict[str, tuple[Any, Said]] = {
    "Chat": ({"id": "x", "choices": [{"message": {"content": "é"}}], "usage": CHAT}, CHAT_SAID),
    "usage before everything": ({"usage": CHAT, "choices": []}, CHAT_SAID),
    "none": ({"choices": []}, {}),
    "null": ({"usage": None, "x": 1}, {}),
    "an error": ({"error": {"message": "no"}}, {}),
    "usage in what was said": ({"text": json.dumps({"usage": CHAT}), "a": [{"usage": CHAT}]}, {}),
    "usage below another name": ({"other": {"usage": CHAT}, "choices": [{"usage": {"prompt_tokens": 5}}]}, {}),
    "a name that ends in a quote": ({'x\\"usage': 1, "usage": {"prompt_tokens": 1}}, {"prompt_tokens": 1, "total": 1}),
    "no numbers": ({"usage": {"prompt_tokens": "many", "completion_tokens": [5], "input_tokens": None}}, {}),
    "no counts": ({"usage": {"prompt_tokens": -5, "completion_tokens": 1.5, "input_tokens": 1e300}}, {}),
    "Messages": (
        {
            "type": "message",
            "usage": {
                "input_tokens": 50,
                "cache_read_input_tokens": 100_000,
                "cache_creation_input_tokens": 248,
                "cache_creation": {"ephemeral_5m_input_tokens": 248},
                "output_tokens": 503,
            },
        },
        {
            "input_tokens": 50,
            "cache_read_input_tokens": 100_000,
            "cache_creation_input_tokens": 248,
            "output_tokens": 503,
            "total": 100_801,
        },
    ),
    "Embeddings": (
        {"data": [{"embedding": [0.1, -0.25e-3]}], "usage": {"prompt_tokens": 8, "total_tokens": 8}},
        {"prompt_tokens": 8, "total": 8},
    ),
}


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize(("answer", "said"), ANSWERS.values(), ids=ANSWERS.keys())
def test_an_answer_s_usage_is_read_however_it_is_cut(read: Read, answer: Any, said: Said, size: int) -> None:
    assert read(pieces(json.dumps(answer).encode(), size)) == said


def event(data: Any, name: str = "") -> bytes:
    text = data if isinstance(data, str) else json.dumps(data)
    return (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()


WORD = {"choices": [{"delta": {"content": 'a word, and "usage"'}}], "usage": None}
STREAMS: dict[str, tuple[bytes, Said]] = {
    "Chat": (event(WORD) * 9 + event({"choices": [], "usage": CHAT}) + event("[DONE]"), CHAT_SAID),
    "Chat that says nothing": (event(WORD) * 9 + event("[DONE]"), {}),
    "Responses": (
        event({"type": "response.created", "response": {"id": "x", "usage": None}}, "response.created")
        + event(
            {"response": {"output": [{"usage": 7}], "usage": {"input_tokens": 328, "output_tokens": 52}}},
            "response.completed",
        ),
        {"input_tokens": 328, "output_tokens": 52, "total": 380},
    ),
    "Messages, whose counts run on": (
        event({"message": {"usage": {"input_tokens": 25, "output_tokens": 1}}}, "message_start")
        + b": a comment\n\n"
        + event({"delta": {"text": "x"}}) * 3
        + event({"usage": {"output_tokens": 15}}, "message_delta")
        + event({"type": "message_stop"}),
        {"input_tokens": 25, "output_tokens": 15, "total": 40},
    ),
    "lines that end in CR LF, data in two lines": (
        b'id: 1\r\ndata: {"usage":\r\ndata: {"prompt_tokens": 3}}\r\n\r\n',
        {"prompt_tokens": 3, "total": 3},
    ),
    "lines that end in CR, no space": (
        b'data:{"usage":{"prompt_tokens":3}}\r\rdata:x\r\r',
        {"prompt_tokens": 3, "total": 3},
    ),
    "no data": (b'event: {"usage":{"prompt_tokens":3}}\n\nid: 5\n\n', {}),
    "an event that is cut, and another": (
        b'data: {"a": {"b": "\n\n' + event({"usage": {"prompt_tokens": 3}}),
        {"prompt_tokens": 3, "total": 3},
    ),
}


@pytest.mark.parametrize("size", [1, 7, 64, 100_000])
@pytest.mark.parametrize(("stream", "said"), STREAMS.values(), ids=STREAMS.keys())
def test_a_stream_s_usage_is_read_however_it_is_cut(read: Read, stream: bytes, said: Said, size: int) -> None:
    assert read(pieces(stream, size), "text/event-stream; charset=utf-8") == said


def test_what_a_stream_said_by_then_is_known_when_it_is_cut(read: Read) -> None:
    begun = event({"message": {"usage": {"input_tokens": 25, "output_tokens": 1}}}, "message_start")
    assert read([begun, b'data: {"delta": {"te'], "text/event-stream")["total"] == 26


@pytest.mark.parametrize(
    "unread",
    [
        {"kind": "text/plain"},
        {"kind": "application/json", "content_encoding": "gzip"},
        {"kind": "application/json", "caller": {"other": "x"}},
        {"kind": ""},
    ],
)
def test_what_is_nobody_s_or_packed_is_not_read(read: Read, unread: dict[str, Any]) -> None:
    assert read([json.dumps({"usage": CHAT}).encode()], **unread) == {}


numbers = st.integers(0, 10**9)
usages = st.fixed_dictionaries({}, optional=dict.fromkeys(dialects.FIELDS, numbers))


def nested(usage: Said) -> dict[str, Any]:
    """A usage object whose paths are objects again."""
    found: dict[str, Any] = {}
    for path, value in usage.items():
        *above, name = path.split(".")
        place = found
        for step in above:
            place = place.setdefault(step, {})
        place[name] = value
    return found


@given(usages, st.integers(1, 50))
def test_it_comes_to_what_the_service_makes_of_it(read: Read, usage: Said, size: int) -> None:
    text = json.dumps({"choices": [{"usage": 1}], "usage": nested(usage)}).encode()
    found = read(pieces(text, size))
    counted = dialects.read(usage)
    assert found.pop("total", None) == (None if counted is None else counted.total)
    assert found == usage


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["usage", "response"]), inner),
    ),
    st.integers(1, 50),
)
def test_no_answer_makes_it_see_what_is_not_there(read: Read, value: Any, size: int) -> None:
    text = json.dumps({"choices": value, "usage": {"prompt_tokens": 4}}).encode()
    assert read(pieces(text, size)) == {"prompt_tokens": 4, "total": 4}


@given(st.lists(st.binary(max_size=60), max_size=20), st.sampled_from(["application/json", "text/event-stream"]))
def test_no_bytes_stop_it(read: Read, parts: list[bytes], kind: str) -> None:
    read(parts, kind)
